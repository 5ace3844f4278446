//! Backends that are asked before a session joins or speaks.

use std::collections::VecDeque;

use parking_lot::Mutex;
use polyport_backends::Provider;
use polyport_core::{ActionInfo, Answer, Ask, Denial, Hooks, Later, SessionRef};
use tokio::sync::oneshot;

use super::world::{Client, Setup, Version, World};
use super::*;

type Verdict = Result<(), Denial>;

/// Is asked about joining and speaking, and answers when the test says so.
#[derive(Default)]
struct Doorkeeper {
    verdicts: Mutex<VecDeque<oneshot::Receiver<Verdict>>>,
    asked: Mutex<Vec<String>>,
}

impl Doorkeeper {
    /// How the next question will be answered.
    fn will_answer(&self) -> oneshot::Sender<Verdict> {
        let (sender, receiver) = oneshot::channel();
        self.verdicts.lock().push_back(receiver);
        sender
    }
}

impl Provider for Doorkeeper {
    fn actions(&self) -> Vec<ActionInfo> {
        Vec::new()
    }

    fn call(&self, _: &SessionRef, _: Call<'_>, _: &Json) -> Answer {
        Answer::Now(Err(CallError::UnknownAction))
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            join: true,
            publish: true,
            ..Hooks::default()
        }
    }

    fn may(&self, _: &SessionRef, ask: &Ask) -> Later<Verdict> {
        self.asked.lock().push(match ask {
            Ask::Join(room) => format!("join {room}"),
            Ask::Publish { room, event, args } => {
                let text = polyport_core::single_argument(args);
                format!("{event} to {room}: {}", text.as_str())
            }
        });
        let verdict = self.verdicts.lock().pop_front();
        Box::pin(async move {
            match verdict {
                Some(verdict) => verdict.await.unwrap_or(Ok(())),
                None => Ok(()),
            }
        })
    }
}

fn guarded() -> (World, Arc<Doorkeeper>) {
    let doorkeeper = Arc::new(Doorkeeper::default());
    let mut setup = Setup::new(Version::Classic);
    setup.backend = Some(doorkeeper.clone());
    (setup.world(), doorkeeper)
}

/// Until every question has been answered and acted upon.
async fn settled(client: &Client) {
    while !client.handler.session.is_settled() {
        tokio::task::yield_now().await;
    }
}

const THERE: &str = r#"{"status":"OK","context":"response","data":true,"messageCount":1}"#;

#[tokio::test]
async fn lines_keep_their_order_however_late_the_answers_come() {
    let (world, doorkeeper) = guarded();
    let mut client = world.connect();
    let [join, one, two] = [(); 3].map(|()| doorkeeper.will_answer());
    client.sends("roomAdd otherRoom\r\nsay otherRoom one\r\nsay otherRoom two\r\nparamsDelete\r\n");
    client.expects(&[r#"{"status":"OK","context":"response","data":null,"messageCount":4}"#]);
    two.send(Ok(())).unwrap();
    one.send(Ok(())).unwrap();
    tokio::task::yield_now().await;
    client.expects(&[]);
    join.send(Ok(())).unwrap();
    settled(&client).await;
    client.expects(&[
        THERE,
        r#"{"status":"OK","context":"response","data":null,"messageCount":2}"#,
        r#"{"message":"one","room":"otherRoom","from":"<me>","context":"user","sentAt":<ms>}"#,
        r#"{"status":"OK","context":"response","data":null,"messageCount":3}"#,
        r#"{"message":"two","room":"otherRoom","from":"<me>","context":"user","sentAt":<ms>}"#,
    ]);
    assert_eq!(
        *doorkeeper.asked.lock(),
        [
            "join otherRoom",
            r#"message to otherRoom: "one""#,
            r#"message to otherRoom: "two""#
        ]
    );
}

#[tokio::test]
async fn a_refusal_has_the_backends_words() {
    let (world, doorkeeper) = guarded();
    let mut client = world.connect();
    let refuse = |text: &str| {
        let verdict = doorkeeper.will_answer();
        verdict.send(Err(Denial::because(text))).unwrap();
    };
    refuse("members only");
    client.sends("roomAdd otherRoom\r\n");
    settled(&client).await;
    client.expects(&[
        r#"{"status":"members only","context":"response","data":false,"messageCount":1}"#,
    ]);
    client.sends("roomAdd otherRoom\r\n");
    settled(&client).await;
    refuse("not so loud");
    client.sends("say otherRoom HELLO\r\n");
    settled(&client).await;
    client.expects(&[
        r#"{"status":"OK","context":"response","data":true,"messageCount":2}"#,
        r#"{"status":"not so loud","context":"response","messageCount":3}"#,
    ]);
}

/// Nobody is asked about what the listener does not let pass anyway.
#[tokio::test]
async fn patterns_come_first() {
    let doorkeeper = Arc::new(Doorkeeper::default());
    let mut setup = Setup::new(Version::Classic);
    setup.backend = Some(doorkeeper.clone());
    setup.permissions =
        polyport_core::Permissions::new(&["defaultRoom".to_owned()], &[], &[]).unwrap();
    let world = setup.world();
    let mut client = world.connect();
    client.sends("roomAdd otherRoom\r\nroomAdd nowhere\r\nsay otherRoom x\r\nsay x\r\n");
    settled(&client).await;
    client.expects(&[
        r#"{"status":"not authorized to join room","context":"response","data":false,"messageCount":1}"#,
        r#"{"status":"room does not exist","context":"response","data":false,"messageCount":2}"#,
        r#"{"status":"connection not in this room","context":"response","messageCount":3}"#,
        r#"{"status":"both room and message are required","context":"response","messageCount":4}"#,
    ]);
    assert!(doorkeeper.asked.lock().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_is_let_go() {
    let (world, doorkeeper) = guarded();
    let mut client = world.connect();
    let verdict = doorkeeper.will_answer();
    client.sends("roomAdd otherRoom\r\nsay otherRoom x\r\n");
    tokio::task::yield_now().await;
    drop(client);
    verdict.send(Ok(())).unwrap();
    world.shared.tasks.finish().await;
    assert_eq!(*doorkeeper.asked.lock(), ["join otherRoom"]);
    assert!(world.hub.is_empty());
    assert!(
        world
            .listener
            .realm()
            .members(&world::room("otherRoom"))
            .is_empty()
    );
}

#[tokio::test]
async fn a_draining_session_waits_for_its_answers() {
    let (world, doorkeeper) = guarded();
    let mut client = world.connect();
    let verdict = doorkeeper.will_answer();
    client.sends("roomAdd otherRoom\r\n");
    world.listener.drain();
    client.expects(&[]);
    verdict.send(Ok(())).unwrap();
    settled(&client).await;
    client.expects(&[THERE, GOODBYE]);
}
