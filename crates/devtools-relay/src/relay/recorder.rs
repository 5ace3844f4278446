//! Writing what apps say into files, on a thread of its own: a file for each instance of each connection.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use jiff::Timestamp;
use polyport_core::{Json, Millis, RealmName};

use super::head::Head;
use crate::recording::{is_recorded, write_line, write_title};

/// Bytes of messages that may wait for the disk, and how many; more are lost.
const MOST_WAITING_BYTES: usize = 64 << 20;
const MOST_WAITING: usize = 10_000;

/// Files that are open at once; the one that was not written to for longest is closed.
const MOST_OPEN: usize = 100;

/// One file may have this part of all bytes, then another one begins.
const SHARE: u64 = 4;

/// What a file counts at least, so that there cannot be any number of small ones.
const LEAST: u64 = 4 << 10;

/// How the names of recordings end.
const SUFFIX: &str = ".jsonl";

/// Most letters of an app's name in that of its file.
const MOST_LETTERS: usize = 40;

/// Where recordings are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingOptions {
    /// The folder; it is made if it is not there.
    pub folder: PathBuf,
    /// Bytes of all recordings; the oldest go.
    pub bytes: u64,
}

/// Recordings cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {error}", folder.display())]
pub struct RecorderError {
    folder: PathBuf,
    error: io::Error,
}

/// What writes recordings. Dropping it waits until all is written.
pub(crate) struct Recorder {
    jobs: Option<SyncSender<Job>>,
    waiting: Arc<AtomicUsize>,
    lost: AtomicUsize,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Write(Box<Message>),
    /// Nothing more comes of that connection.
    End(Box<str>),
}

/// A message that is to be written.
struct Message {
    key: Key,
    at: Millis,
    name: Option<Box<str>>,
    text: Json,
}

/// Which recording a message belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    realm: RealmName,
    /// The connection of the app.
    sender: Box<str>,
    instance: Box<str>,
}

impl Recorder {
    /// Begins to write into the folder.
    ///
    /// # Errors
    /// [`RecorderError`].
    pub(crate) fn open(options: &RecordingOptions) -> Result<Self, RecorderError> {
        let failed = |error| RecorderError {
            folder: options.folder.clone(),
            error,
        };
        let mut writer = Writer::open(options).map_err(failed)?;
        let (jobs, waiting) = sync_channel(MOST_WAITING);
        let bytes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&bytes);
        let thread = thread::Builder::new().name("polyport-recordings".to_owned());
        let thread = thread
            .spawn(move || writer.work(&waiting, &counted))
            .map_err(failed)?;
        Ok(Self {
            jobs: Some(jobs),
            waiting: bytes,
            lost: AtomicUsize::new(0),
            thread: Some(thread),
        })
    }

    /// Notes a message of an app that is connected as `sender`. Nobody waits for the disk: what is too much is lost.
    pub(crate) fn note(&self, realm: &RealmName, sender: &str, head: &Head<'_>, message: &Json) {
        if !is_recorded(head) {
            return;
        }
        let length = message.len();
        let before = self.waiting.fetch_add(length, Ordering::Relaxed);
        let message = Message {
            key: Key {
                realm: realm.clone(),
                sender: sender.into(),
                instance: head.shown_as().unwrap_or(sender).into(),
            },
            at: Millis::now(),
            name: head.name.as_deref().map(Box::from),
            text: message.clone(),
        };
        let has_room = before + length <= MOST_WAITING_BYTES;
        if has_room && self.send(Job::Write(Box::new(message))) {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(
                    lost,
                    "messages are missing in recordings: the disk is too slow"
                );
            }
            return;
        }
        self.waiting.fetch_sub(length, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// An app has gone.
    pub(crate) fn end(&self, sender: &str) {
        // Its files are closed when there are too many otherwise.
        self.send(Job::End(sender.into()));
    }

    fn send(&self, job: Job) -> bool {
        let jobs = self.jobs.as_ref();
        jobs.is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but that it is over.
            let _ = thread.join();
        }
    }
}

/// The thread's own: which files there are, and which are open.
struct Writer {
    folder: PathBuf,
    most: u64,
    /// All recordings of the folder with their sizes, the oldest first.
    files: VecDeque<(PathBuf, u64)>,
    bytes: u64,
    open: HashMap<Key, Open>,
    clock: u64,
    /// How many have begun, so that no two names are the same.
    begun: u64,
    has_failed: bool,
}

struct Open {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// When it was last written to, by the writer's own clock.
    written: u64,
}

impl Writer {
    fn open(options: &RecordingOptions) -> io::Result<Self> {
        fs::create_dir_all(&options.folder)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&options.folder)? {
            let entry = entry?;
            let is_ours = entry.file_name().to_string_lossy().ends_with(SUFFIX);
            if is_ours && entry.file_type()?.is_file() {
                files.push((entry.path(), entry.metadata()?.len().max(LEAST)));
            }
        }
        // Their names begin with the time.
        files.sort();
        let mut writer = Self {
            folder: options.folder.clone(),
            most: options.bytes,
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
            files: files.into(),
            open: HashMap::new(),
            clock: 0,
            begun: 0,
            has_failed: false,
        };
        writer.evict()?;
        Ok(writer)
    }

    fn work(&mut self, jobs: &Receiver<Job>, waiting: &AtomicUsize) {
        for job in jobs {
            match job {
                Job::Write(message) => {
                    let done = self.write(&message);
                    waiting.fetch_sub(message.text.len(), Ordering::Relaxed);
                    self.say(done.err());
                }
                Job::End(sender) => self.open.retain(|key, _| key.sender != sender),
            }
        }
    }

    /// The first of several failures is told, and that it works again.
    fn say(&mut self, failed: Option<io::Error>) {
        match (failed, self.has_failed) {
            (Some(error), false) => {
                tracing::error!(folder = %self.folder.display(), %error, "what apps say is not recorded");
                self.has_failed = true;
            }
            (None, true) => {
                tracing::info!(folder = %self.folder.display(), "what apps say is recorded again");
                self.has_failed = false;
            }
            _ => {}
        }
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        let mut text = String::new();
        let most = self.most / SHARE;
        let is_full = |open: &Open| open.bytes + message.text.len() as u64 > most;
        if self.open.get(&message.key).is_some_and(is_full) {
            self.open.remove(&message.key);
        }
        if !self.open.contains_key(&message.key) {
            let key = &message.key;
            let name = message.name.as_deref();
            write_title(&mut text, key.realm.as_str(), &key.instance, name);
            self.begin(message)?;
        }
        self.clock += 1;
        write_line(&mut text, message.at.0, message.text.as_str());
        let Some(open) = self.open.get_mut(&message.key) else {
            return Ok(());
        };
        open.written = self.clock;
        if let Err(error) = open.file.write_all(text.as_bytes()) {
            // Half a line may stand there: the rest goes into another file.
            self.open.remove(&message.key);
            return Err(error);
        }
        open.bytes += text.len() as u64;
        let (path, bytes) = (&open.path, open.bytes.max(LEAST));
        if let Some((_, known)) = self.files.iter_mut().rfind(|(other, _)| other == path) {
            self.bytes += bytes - *known;
            *known = bytes;
        }
        self.evict()
    }

    /// Opens a new file for what a message belongs to.
    fn begin(&mut self, message: &Message) -> io::Result<()> {
        if self.open.len() >= MOST_OPEN {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.written);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.open.remove(&key);
            }
        }
        let shown = message.name.as_deref().unwrap_or(&message.key.instance);
        let mut options = OpenOptions::new();
        let options = options.append(true).create_new(true).mode(0o600);
        let (path, file) = loop {
            self.begun += 1;
            let path = self.folder.join(file_name(message.at, shown, self.begun));
            match options.open(&path) {
                Ok(file) => break (path, file),
                // Another gateway writes into the same folder.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        self.files.push_back((path.clone(), LEAST));
        self.bytes += LEAST;
        let open = Open {
            file,
            path,
            bytes: 0,
            written: self.clock,
        };
        self.open.insert(message.key.clone(), open);
        Ok(())
    }

    /// Removes the oldest until the rest has room; the newest stays.
    fn evict(&mut self) -> io::Result<()> {
        while self.bytes > self.most && self.files.len() > 1 {
            let Some((path, bytes)) = self.files.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.open.retain(|_, open| open.path != path);
            remove(&path)?;
        }
        Ok(())
    }
}

/// Removes a file, which somebody else may have done already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The time comes first, so that names are in order; of what the app calls itself there are only letters that are harmless
/// everywhere.
fn file_name(at: Millis, shown: &str, number: u64) -> String {
    let moment = i64::try_from(at.0)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or_default();
    let moment = moment.strftime("%Y%m%dT%H%M%S.%3fZ");
    let letters = shown.chars().take(MOST_LETTERS);
    let shown: String = letters
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '_',
        })
        .collect();
    format!("{moment}-{number}-{shown}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Recording;

    fn note(recorder: &Recorder, sender: &str, text: &str) {
        let message = Json::parse(text).unwrap();
        let head = Head::read(message.decode().unwrap());
        let realm = RealmName::new("devtools").unwrap();
        recorder.note(&realm, sender, &head, &message);
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        let mut files: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
        files.sort();
        files
    }

    fn options(folder: &Path, bytes: u64) -> RecordingOptions {
        RecordingOptions {
            folder: folder.join("made"),
            bytes,
        }
    }

    #[test]
    fn a_file_for_each_instance_of_each_connection() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), 1 << 20);
        let recorder = Recorder::open(&options).unwrap();
        let state = r#"{"type":"STATE","name":"../../Shop","instanceId":"a","payload":"{}"}"#;
        note(&recorder, "one", r#"{"type":"START","instanceId":"a"}"#);
        note(&recorder, "one", state);
        note(
            &recorder,
            "one",
            r#"{"type":"ACTION","instanceId":"a","payload":"{}"}"#,
        );
        note(&recorder, "one", r#"{"type":"INIT","payload":"{}"}"#);
        recorder.end("one");
        note(&recorder, "two", state);
        drop(recorder);
        let found = files(&options.folder);
        let read = |path: &PathBuf| Recording::read(&fs::read_to_string(path).unwrap()).unwrap();
        let counts: Vec<_> = found.iter().map(|path| read(path).messages.len()).collect();
        assert_eq!(counts, [2, 1, 1], "{found:?}");
        let name = found[0].file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with("-1-______Shop.jsonl"), "{name}");
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_no_file_grows_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path(), 64 << 10);
        fs::create_dir_all(&options.folder).unwrap();
        let earlier = options.folder.join("20200101T000000.000Z-1-old.jsonl");
        let foreign = options.folder.join("notes.txt");
        fs::write(&earlier, "{}").unwrap();
        fs::write(&foreign, "{}").unwrap();
        let recorder = Recorder::open(&options).unwrap();
        let payload = "x".repeat(1_000);
        for number in 0..200 {
            let text = format!(
                r#"{{"type":"ACTION","instanceId":"a","payload":"{payload}","nextActionId":{number}}}"#
            );
            note(&recorder, "one", &text);
        }
        drop(recorder);
        let found = files(&options.folder);
        assert!(!earlier.exists() && foreign.exists());
        let sizes: Vec<_> = found
            .iter()
            .map(|it| it.metadata().unwrap().len())
            .collect();
        assert!(sizes.iter().sum::<u64>() <= 64 << 10, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 17 << 10), "{sizes:?}");
        assert!(sizes.len() > 3, "{sizes:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("made"), "a file").unwrap();
        let error = Recorder::open(&options(folder.path(), 1 << 20))
            .err()
            .unwrap();
        assert!(error.to_string().contains("made"), "{error}");
    }
}
