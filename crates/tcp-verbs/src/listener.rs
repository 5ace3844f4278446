//! Binding a listener and opening its sessions.

use std::sync::Arc;

use polyport_core::{Backend, Frame, Guest, Opening, Reception, Refused, RoomName};
use polyport_net::{BindError, LinkOptions, Place, Process, RawFrontEnd, Server, Tasks, serve_raw};

use crate::{
    MessageId, Profile, PublicFolders, codec::LineWriter, dialect::VerbsDialect,
    session::VerbsSession,
};

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "tcp-verbs";

/// The clients split what they read at line ends and lose data when one read ends within a line behind a complete one,
/// so lines are never merged into a write larger than about one TCP segment.
const MAX_WRITE: usize = 1400;

/// Params that are stored although no action declares them.
const ALWAYS_ALLOWED: [&str; 4] = ["file", "apiVersion", "callback", "action"];

/// What a listener of this protocol can be told.
#[derive(Debug, Clone)]
pub struct VerbsOptions {
    /// The version of the original to follow.
    pub profile: Profile,
    /// The first thing a client reads.
    pub welcome: String,
    /// The room that welcome and details show, if the profile shows one.
    pub default_room: RoomName,
    /// Whether sessions really join it at open.
    pub auto_join: bool,
    /// Folders for `file`.
    pub folders: PublicFolders,
    /// What ends a line; with LF, a CR does too.
    pub delimiter: u8,
    /// Longest line in bytes; 0: the listener's message limit.
    pub max_data_length: usize,
}

/// What the sessions of a listener share.
pub(crate) struct Shared {
    pub(crate) options: VerbsOptions,
    reception: Reception,
    pub(crate) tasks: Tasks,
    pub(crate) welcome: Frame,
}

impl Shared {
    pub(crate) fn new(options: VerbsOptions, reception: Reception, tasks: Tasks) -> Self {
        let mut welcome = LineWriter::new(128).string("welcome", &options.welcome);
        if options.profile.welcome_room {
            welcome = welcome.string("room", options.default_room.as_str());
        }
        let welcome = welcome.raw("context", "\"api\"").finish();
        Self {
            options,
            reception,
            tasks,
            welcome,
        }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &**self.reception.backend()
    }

    /// Whether a backend wants to be asked before a session joins or speaks.
    pub(crate) fn asks_about_rooms(&self) -> bool {
        let hooks = self.backend().hooks();
        hooks.join || hooks.publish
    }

    /// Whether `paramAdd` accepts a key.
    pub(crate) fn allows(&self, key: &str) -> bool {
        let knows_ids = self.options.profile.message_id != MessageId::Never;
        ALWAYS_ALLOWED.contains(&key)
            || (knows_ids && key == "messageId")
            || self.backend().has_input(key)
    }
}

/// Binds a listener of this protocol and serves it.
///
/// # Errors
/// [`BindError`] when the address cannot be bound.
pub fn start(
    place: Place,
    process: &Process,
    options: VerbsOptions,
    reception: Reception,
) -> Result<Server, BindError> {
    let dialect = Arc::new(VerbsDialect {
        server_sender_is_text: options.profile.server_sender_is_text,
    });
    let listener = place.listener(&process.hub, PROTOCOL, dialect);
    let tasks = process.transportation.tasks.clone();
    let front_end = FrontEnd(Arc::new(Shared::new(options, reception, tasks)));
    serve_raw(
        &place.bind,
        listener,
        place.server,
        &process.transportation,
        front_end,
    )
}

struct FrontEnd(Arc<Shared>);

impl RawFrontEnd for FrontEnd {
    type Handler = VerbsSession;

    fn options(&self) -> LinkOptions {
        LinkOptions {
            max_write: MAX_WRITE,
            // Clients send with Nagle's algorithm: behind a request that waits for its answer they hold the next one
            // back until the first is acknowledged.
            quick_ack: true,
        }
    }

    fn reception(&self) -> Option<&Reception> {
        Some(&self.0.reception)
    }

    /// The original refuses nobody: an error line where the welcome would stand.
    fn refusal(&self, refused: &Refused) -> Frame {
        let text = match refused {
            Refused::Token(_) | Refused::Nobody => "you may not connect here",
            Refused::Failed { text, .. } | Refused::Unavailable(text) => text.as_str(),
        };
        LineWriter::new(96)
            .string("error", text)
            .raw("context", "\"api\"")
            .finish()
    }

    fn open(&self, opening: Opening, guest: Guest) -> VerbsSession {
        VerbsSession::open(opening, Arc::clone(&self.0), guest)
    }
}
