//! Who should write a frame to its peer? Three ways, measured on a thousand loopback sockets:
//!
//! - `task`: the publisher wakes each member's task, which writes;
//! - `publisher`: the publisher writes to every member itself;
//! - `pool`: the publisher hands the members to short tasks of 128 each (what Polyport does for large rooms).
//!
//! Prints the CPU time of the server's threads per delivered frame: `cargo bench -p polyport-net --bench delivery`.
//! The runs of the three are interleaved and the median of each is told, because machines are noisy.

use std::{
    fs,
    future::poll_fn,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream as StdStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use polyport_core::{
    Dialect, Event, EventName, Except, FlushPool, Frame, FrameQueue, Hub, Json, Limits,
    ListenerConfig, Opening, Peer, Permissions, RealmName, RoomName, Session, SessionId, Target,
    Transport, Wrote,
};
use polyport_net::{FlushTasks, Tasks};
use tokio::{net::TcpStream, runtime::Builder, time::interval};

const MEMBERS: usize = 1000;
const EVENTS_PER_SECOND: usize = 100;
const SECONDS: usize = 3;
const ROUNDS: usize = 5;
const WORKER: &str = "delivery-server";
const WAYS: [Way; 3] = [Way::Task, Way::Publisher, Way::Pool];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Task,
    Publisher,
    Pool,
}

/// Writes the 100 bytes that the budget speaks of.
struct HundredBytes;

impl Dialect for HundredBytes {
    fn protocol(&self) -> &'static str {
        "bench"
    }

    fn encode(&self, _: &Event) -> Frame {
        Frame::from_static(&[b'x'; 100])
    }
}

struct Socket {
    stream: TcpStream,
    by_task: bool,
    task: AtomicWaker,
}

impl Socket {
    fn write_now(&self, frames: &mut FrameQueue) -> Wrote {
        while !frames.is_empty() {
            let wrote = frames.write_with(usize::MAX, |slices| match slices {
                [only] => self.stream.try_write(only),
                many => self.stream.try_write_vectored(many),
            });
            match wrote {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Wrote::Blocked,
                Err(_) => return Wrote::Gone,
            }
        }
        Wrote::All
    }
}

impl Transport for Socket {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        if self.by_task {
            return Wrote::Blocked;
        }
        self.write_now(frames)
    }

    fn wake(&self) {
        self.task.wake();
    }
}

fn main() {
    let mut out = io::stdout();
    for burst in [1, 10] {
        let mut costs = WAYS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (way, costs) in WAYS.into_iter().zip(&mut costs) {
                costs.push(measure(way, burst));
            }
        }
        for (way, mut costs) in WAYS.into_iter().zip(costs) {
            costs.sort_by(f64::total_cmp);
            let (least, median) = (costs[0], costs[ROUNDS / 2]);
            writeln!(
                out,
                "bursts of {burst:2}  {:10} {median:.2} µs per delivery (least {least:.2})",
                format!("{way:?}").to_lowercase()
            )
            .expect("standard output is open");
        }
    }
}

/// Microseconds of the server's CPU time per delivery.
fn measure(way: Way, burst: usize) -> f64 {
    let runtime = Builder::new_multi_thread()
        .thread_name(WORKER)
        .enable_all()
        .build()
        .expect("a runtime");
    let received = Arc::new(AtomicU64::new(0));
    let cost = runtime.block_on(async {
        let tasks = Tasks::new();
        let pool = (way == Way::Pool).then(|| {
            let handle = tokio::runtime::Handle::current();
            Arc::new(FlushTasks::new(handle, tasks.clone())) as Arc<dyn FlushPool>
        });
        let hub = Hub::new(0, pool);
        let room = RoomName::new("room").expect("a name");
        let listener = hub.listener(ListenerConfig {
            name: "bench".to_owned(),
            protocol: "bench",
            realm: RealmName::new("default").expect("a name"),
            dialect: Arc::new(HundredBytes),
            join: vec![room.clone()],
            rooms: Vec::new(),
            limits: Limits::default(),
            permissions: Permissions::default(),
        });
        let (servers, clients) = sockets();
        let reader = read_all(&clients, Arc::clone(&received));
        let mut sessions = Vec::new();
        for stream in servers {
            let socket = Arc::new(Socket {
                stream: TcpStream::from_std(stream).expect("a registered socket"),
                by_task: way == Way::Task,
                task: AtomicWaker::new(),
            });
            let session = Session::open(Opening {
                id: SessionId::random(),
                admission: listener.admit(None).expect("no bound is set"),
                peer: Peer::Unix,
                transport: Arc::clone(&socket) as Arc<dyn Transport>,
            });
            if way == Way::Task {
                let reference = session.clone();
                let stop = tasks.stopping();
                tasks.spawn(async move {
                    let writing = poll_fn(|cx| {
                        socket.task.register(cx.waker());
                        let outbox = reference.outbox();
                        if outbox.needs_resume() {
                            outbox.resume(&mut |frames| socket.write_now(frames));
                        }
                        Poll::<()>::Pending
                    });
                    stop.run_until_cancelled(writing).await;
                });
            }
            sessions.push(session);
        }
        let realm = listener.realm();
        let publish = || {
            hub.turn(|| {
                for _ in 0..burst {
                    let name = EventName::new("event").expect("a name");
                    let target = Target::Room {
                        realm,
                        room: &room,
                        except: Except::default(),
                    };
                    hub.publish(target, &Event::new(name, Json::NULL));
                }
            });
        };
        let turns = EVENTS_PER_SECOND * SECONDS / burst;
        let mut ticks =
            interval(Duration::from_secs(1) * u32::try_from(burst).expect("small") / 100);
        let before = server_cpu();
        let mut published = 0;
        for _ in 0..turns {
            ticks.tick().await;
            publish();
            published += burst;
        }
        let wanted = (published * MEMBERS * 100) as u64;
        let patience = Instant::now() + Duration::from_secs(10);
        while received.load(Ordering::Relaxed) < wanted && Instant::now() < patience {
            ticks.tick().await;
        }
        let cpu = server_cpu() - before;
        tasks.finish().await;
        drop(sessions);
        for client in &clients {
            // The reader sees the end of every stream and stops.
            drop(client.shutdown(Shutdown::Both));
        }
        reader.join().expect("the reader does not panic");
        cpu.as_secs_f64() * 1e6 / (published * MEMBERS) as f64
    });
    runtime.shutdown_background();
    cost
}

/// Connected pairs of loopback sockets.
fn sockets() -> (Vec<StdStream>, Vec<StdStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (0..MEMBERS)
        .map(|_| {
            let client = StdStream::connect(address).expect("it listens");
            let (server, _) = listener.accept().expect("a connection waits");
            server.set_nodelay(true).expect("a socket option");
            server.set_nonblocking(true).expect("a socket option");
            (server, client)
        })
        .unzip()
}

/// A thread of another name reads whatever arrives, round robin, so that its CPU time does not count.
fn read_all(clients: &[StdStream], received: Arc<AtomicU64>) -> thread::JoinHandle<()> {
    let mut clients: Vec<StdStream> = clients
        .iter()
        .map(|client| {
            client.set_nonblocking(true).expect("a socket option");
            client.try_clone().expect("a second handle")
        })
        .collect();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while !clients.is_empty() {
            let mut read = 0;
            clients.retain_mut(|client| match client.read(&mut buffer) {
                Ok(0) => false,
                Ok(count) => {
                    read += count as u64;
                    true
                }
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            });
            received.fetch_add(read, Ordering::Relaxed);
            if read == 0 {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
    })
}

/// CPU time that the runtime's threads have used, from the scheduler's own account in nanoseconds.
fn server_cpu() -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("Linux");
    let nanoseconds: u64 = threads
        .flatten()
        .filter(|thread| {
            fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == WORKER)
        })
        .filter_map(|thread| {
            let account = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            account.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum();
    // The publisher is the main future: it runs on the thread that blocks on it.
    let main = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let main: u64 = main
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or_default();
    Duration::from_nanos(nanoseconds + main)
}
