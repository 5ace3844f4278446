//! A session without a connection, and the comparison of an answer with an expectation that has variable parts.

use std::sync::Arc;

use polyport_backends::{
    Actions, Node, Registry,
    builtin::{self, BuiltinOptions},
};
use polyport_core::{
    Answer, Backend, Call, CallArgs, CallError, Dialect, Event, Frame, FrameQueue, Hub, Json,
    Limits, ListenerConfig, Opening, Params, Peer, Permissions, RealmName, Reply, Session,
    SessionId, Transport, Wrote,
};

pub(crate) struct World {
    registry: Registry,
    session: Session,
}

struct Silent;

impl Transport for Silent {
    fn write(&self, _: &mut FrameQueue) -> Wrote {
        Wrote::Gone
    }

    fn wake(&self) {}
}

impl Dialect for Silent {
    fn protocol(&self) -> &'static str {
        "silent"
    }

    fn encode(&self, _: &Event) -> Frame {
        Frame::new()
    }
}

impl World {
    pub(crate) fn new(options: &BuiltinOptions) -> Self {
        Self::with_permissions(options, Permissions::default())
    }

    pub(crate) fn with_permissions(options: &BuiltinOptions, permissions: Permissions) -> Self {
        let node = Arc::new(Node::new("node-1".to_owned()));
        let registry = Registry::new(
            vec![Arc::new(Actions::new(builtin::actions(options, &node)))],
            options.documentation_shape,
        );
        let hub = Hub::new(0, None);
        let listener = hub.listener(ListenerConfig {
            name: "test".to_owned(),
            protocol: "silent",
            realm: RealmName::new("default").expect("it is a name"),
            dialect: Arc::new(Silent),
            join: Vec::new(),
            rooms: Vec::new(),
            limits: Limits::default(),
            permissions,
        });
        let session = Session::open(Opening {
            id: SessionId::random(),
            admission: listener.admit(None).expect("it is the first"),
            peer: Peer::Unix,
            transport: Arc::new(Silent),
        });
        Self { registry, session }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn start(&self, action: &str, params: &str) -> Answer {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(params).expect("params are a JSON object");
        let mut params = Params::default();
        for (name, value) in &object {
            params.set(name, Json::encode(value));
        }
        let version = params.get("apiVersion").cloned();
        let call = Call {
            action,
            version: version.as_ref(),
            args: CallArgs::Named(&params),
        };
        self.registry.call(&self.session, call)
    }

    /// The answer as an Actionhero front end words it, without the envelope.
    pub(crate) async fn ask(&self, action: &str, params: &str) -> String {
        match finish(self.start(action, params)).await {
            Ok(Reply::Value(json)) => json.as_str().to_owned(),
            Ok(Reply::Args(_) | Reply::Void | Reply::Nothing) => String::new(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn check(&self, action: &str, params: &str, expected: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O can always be made");
        let found = runtime.block_on(self.ask(action, params));
        assert!(
            matches(&found, expected),
            "{action} {params}\n   found: {found}\nexpected: {expected}"
        );
    }
}

async fn finish(answer: Answer) -> Result<Reply, CallError> {
    match answer {
        Answer::Now(result) => result,
        Answer::Later(future) => future.await,
        Answer::Told(_) => panic!("a builtin action has no thread of its own"),
    }
}

/// Whether `found` is `expected`, in which `<n>` stands for any number and every `<t>` for one and the same or a later
/// time in milliseconds.
fn matches(mut found: &str, expected: &str) -> bool {
    let mut earliest = 1_000_000_000_000_u64;
    let mut parts = expected.split_inclusive(['<', '>']);
    while let Some(part) = parts.next() {
        let literal = part.strip_suffix('<').unwrap_or(part);
        let Some(rest) = found.strip_prefix(literal) else {
            return false;
        };
        found = rest;
        if literal.len() == part.len() {
            continue;
        }
        let end = found
            .find(|c: char| !(c.is_ascii_digit() || "-+.e".contains(c)))
            .unwrap_or(found.len());
        let (number, rest) = found.split_at(end);
        found = rest;
        let fits = match parts.next() {
            Some("n>") => number.parse::<f64>().is_ok(),
            Some("t>") => number.parse().is_ok_and(|time: u64| {
                let fits = time >= earliest;
                earliest = time;
                fits
            }),
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    found.is_empty()
}
