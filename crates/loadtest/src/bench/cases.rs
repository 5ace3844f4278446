//! What is compared with what, and the budgets that the comparison is held against.

use std::time::Duration;

use super::table::Unit;

use crate::scenario::calls::CallsOptions;
use crate::scenario::fanout::FanoutOptions;
use crate::scenario::full::FullOptions;
use crate::scenario::idle::IdleOptions;
use crate::scenario::say::SayOptions;

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The first is the one that the budgets are for and the others are compared with.
    pub(crate) entries: Vec<Entry>,
    pub(crate) budgets: Vec<Budget>,
}

/// One server's part in a case.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) label: &'static str,
    pub(crate) server: Server,
    pub(crate) load: Load,
}

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Gateway(Listener),
    Bun,
    Ws,
    Actionhero,
    SocketRed,
    SocketIo,
    Socketioxide,
    Socketcluster,
    Remotedev,
    Kernel,
    /// Two gateways that meet over Redis, Socket.IO on each.
    Nodes,
    /// Two npm servers with the Redis adapter.
    SocketIoNodes,
}

/// The gateway's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Verbs over TCP.
    Tcp,
    /// Pocketsocket, as a hub.
    Hub,
    /// Pocketsocket without presence and receipts, so that ten thousand arrivals are not told to ten thousand members.
    Plain,
    /// Verbs over TLS.
    Tls,
    /// socket.red, calls answered by builtin actions.
    Rpc,
    /// socket.red, calls answered by the peer's own application as a script, which reaches everybody in the gateway's way.
    Script,
    /// The same, reaching everybody by a loop of its own.
    Loop,
    /// Socket.IO, everybody in one room, which events are published to.
    SocketIo,
    /// SocketCluster, calls answered by builtin actions.
    Socketcluster,
    /// The relay of the Redux DevTools.
    Relay,
}

/// What is done to the server.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Fanout(FanoutOptions),
    Full(FullOptions),
    Calls(CallsOptions),
    Idle(IdleOptions),
    Say(SayOptions),
    Start,
}

/// A bound for a figure of the entry that is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Whose figure.
    pub(crate) of: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) bound: Bound,
    pub(crate) measure: Measure,
}

/// On which side of a value a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub(crate) fn is_kept(self, measured: f64) -> bool {
        match self {
            Self::AtMost(value) => measured <= value,
            Self::AtLeast(value) => measured >= value,
        }
    }

    fn words(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(value) => ("at most", value),
            Self::AtLeast(value) => ("at least", value),
        }
    }
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    In(Unit),
    /// A share of the same figure of another entry.
    ShareOf(&'static str),
}

impl Budget {
    /// The budget in words.
    pub(crate) fn describe(&self) -> String {
        let whose = match self.of {
            GATEWAY => String::new(),
            other => format!("{other}: "),
        };
        let (side, value) = self.bound.words();
        let figure = self.figure;
        match self.measure {
            Measure::In(unit) => format!("{whose}{figure} {side} {}", unit.show(value)),
            Measure::ShareOf(peer) => format!("{whose}{figure} {side} {value:.3} of {peer}"),
        }
    }
}

/// Names of figures; the first of a run is what ratios are made of.
pub(crate) mod figure {
    pub(crate) const CPU: &str = "CPU";
    pub(crate) const P50: &str = "median";
    pub(crate) const P99: &str = "99 %";
    pub(crate) const PER_SECOND: &str = "a second";
    pub(crate) const PER_CPU_SECOND: &str = "a CPU second";
    pub(crate) const PER_MESSAGE: &str = "CPU per message";
    pub(crate) const IDLE: &str = "idle";
    pub(crate) const AFTER_BURST: &str = "after a burst";
    pub(crate) const AT_MOST: &str = "at most";
    pub(crate) const LAST: &str = "last member";
    pub(crate) const FIRST: &str = "first member";
    pub(crate) const READY: &str = "ready";
    pub(crate) const MEMORY: &str = "memory";
    pub(crate) const BINARY: &str = "binary";
    pub(crate) const MISSING: &str = "missing";
    pub(crate) const ADDED: &str = "added to 99 %";
    pub(crate) const CLIENT: &str = "generator";
    pub(crate) const FOREIGN: &str = "others";
}

const GATEWAY: &str = "gateway";
const BUN: &str = "bun";
const WS: &str = "ws";
const ACTIONHERO: &str = "actionhero";
const KERNEL: &str = "kernel";
const SCRIPT: &str = "gateway, script";
const HUB: &str = "gateway, hub";
const SOCKET_RED: &str = "socket.red";
const SOCKET_IO: &str = "socket.io";
const SOCKETIOXIDE: &str = "socketioxide";
const SOCKETCLUSTER: &str = "socketcluster";
const REMOTEDEV: &str = "remotedev";

/// All comparisons, in the order in which they are run.
pub(crate) fn all(warmup: Duration, duration: Duration) -> Vec<Case> {
    let fanout = |members, rate, burst| {
        Load::Fanout(FanoutOptions {
            members,
            rate,
            burst,
            bytes: 100,
            warmup,
            duration,
        })
    };
    let full = |members, publishers, bytes| {
        Load::Full(FullOptions {
            members,
            publishers,
            in_flight: 16,
            bytes,
            warmup,
            duration,
        })
    };
    let calls = |connections, in_flight| {
        Load::Calls(CallsOptions {
            connections,
            in_flight,
            rate: None,
            action: "randomNumber".to_owned(),
            bytes: 100,
            warmup,
            duration,
        })
    };
    let idle = Load::Idle(IdleOptions {
        connections: 10_000,
        first: 200,
        burst: 16,
        bytes: 1_024,
        settle: Duration::from_secs(15),
    });
    let say = Load::Say(SayOptions {
        members: 500,
        count: 50,
        pause: Duration::from_millis(50),
        bytes: 100,
    });
    let hub = Server::Gateway(Listener::Hub);
    let plain = Server::Gateway(Listener::Plain);
    let tcp = Server::Gateway(Listener::Tcp);
    let at_most = |figure, unit, value| Budget {
        of: GATEWAY,
        figure,
        bound: Bound::AtMost(value),
        measure: Measure::In(unit),
    };
    let share = |value, figure, peer| Budget {
        of: GATEWAY,
        figure,
        bound: Bound::AtMost(value),
        measure: Measure::ShareOf(peer),
    };
    let times = |of, value, figure, peer| Budget {
        of,
        figure,
        bound: Bound::AtLeast(value),
        measure: Measure::ShareOf(peer),
    };
    let named_calls = |connections, in_flight| {
        Load::Calls(CallsOptions {
            connections,
            in_flight,
            rate: None,
            action: "randomNumber".to_owned(),
            bytes: 0,
            warmup,
            duration,
        })
    };
    let script = Server::Gateway(Listener::Script);
    let looping = Server::Gateway(Listener::Loop);
    let rpc = Server::Gateway(Listener::Rpc);
    let rpc_servers = |in_flight| {
        let load = named_calls(50, in_flight);
        vec![
            entry(GATEWAY, rpc, &load),
            entry(SCRIPT, script, &load),
            entry(SOCKET_RED, Server::SocketRed, &load),
        ]
    };
    let sio_servers = |load: &Load| {
        vec![
            entry(GATEWAY, Server::Gateway(Listener::SocketIo), load),
            entry(SOCKET_IO, Server::SocketIo, load),
            entry(SOCKETIOXIDE, Server::Socketioxide, load),
        ]
    };
    let sc_servers = |load: &Load| {
        vec![
            entry(GATEWAY, Server::Gateway(Listener::Socketcluster), load),
            entry(SOCKETCLUSTER, Server::Socketcluster, load),
        ]
    };
    let nodes = |load: &Load| {
        vec![
            entry(GATEWAY, Server::Nodes, load),
            entry(SOCKET_IO, Server::SocketIoNodes, load),
        ]
    };
    let sio_fanout = |load: &Load| {
        let mut entries = sio_servers(load);
        entries.push(entry(HUB, hub, load));
        entries
    };
    let websockets = |load: &Load| {
        vec![
            entry(GATEWAY, hub, load),
            entry(BUN, Server::Bun, load),
            entry(WS, Server::Ws, load),
            entry(KERNEL, Server::Kernel, load),
        ]
    };
    let verbs = |load: &Load| {
        vec![
            entry(GATEWAY, tcp, load),
            entry(ACTIONHERO, Server::Actionhero, load),
        ]
    };
    vec![
        Case {
            name: "fanout-ws",
            about: "1,000 WebSocket members, 100 messages a second one at a time: server CPU per delivery",
            entries: websockets(&fanout(1_000, 100.0, 1)),
            budgets: vec![
                at_most(figure::CPU, Unit::Micros, 4.5),
                share(0.85, figure::CPU, BUN),
            ],
        },
        Case {
            name: "fanout-ws-bursts",
            about: "the same in bursts of ten",
            entries: websockets(&fanout(1_000, 100.0, 10)),
            budgets: vec![at_most(figure::CPU, Unit::Micros, 0.55)],
        },
        Case {
            name: "fanout-ws-10000",
            about: "10,000 WebSocket members, 10 messages a second, against 1,000 and 100: server CPU per delivery",
            entries: vec![
                entry(GATEWAY, plain, &fanout(10_000, 10.0, 1)),
                entry("gateway, 1,000", plain, &fanout(1_000, 100.0, 1)),
            ],
            budgets: vec![share(1.3, figure::CPU, "gateway, 1,000")],
        },
        Case {
            name: "fanout-tcp",
            about: "1,000 members over TCP, 100 says a second one at a time: server CPU per delivery",
            entries: verbs(&fanout(1_000, 100.0, 1)),
            budgets: vec![],
        },
        Case {
            name: "fanout-tcp-bursts",
            about: "the same in bursts of ten",
            entries: verbs(&fanout(1_000, 100.0, 10)),
            budgets: vec![],
        },
        Case {
            name: "calls-pipelined",
            about: "randomNumber over TCP, one connection with 100 requests in flight: server CPU per reply",
            entries: verbs(&calls(1, 100)),
            budgets: vec![share(1.0 / 12.0, figure::CPU, ACTIONHERO)],
        },
        Case {
            name: "calls-50",
            about: "randomNumber over TCP, 50 connections with one request in flight each: server CPU per reply",
            entries: verbs(&calls(50, 1)),
            budgets: vec![share(0.4, figure::CPU, ACTIONHERO)],
        },
        Case {
            name: "calls-100",
            about: "randomNumber over TCP, 100 connections one at a time, beside Bun's raw WebSocket echo",
            entries: vec![
                entry(GATEWAY, tcp, &calls(100, 1)),
                entry(BUN, Server::Bun, &calls(100, 1)),
            ],
            budgets: vec![at_most(figure::CPU, Unit::Micros, 6.5)],
        },
        Case {
            name: "idle-ws",
            about: "10,000 idle WebSockets: server memory per connection",
            entries: vec![
                entry(GATEWAY, plain, &idle),
                entry(BUN, Server::Bun, &idle),
                entry(WS, Server::Ws, &idle),
            ],
            budgets: vec![
                at_most(figure::IDLE, Unit::Bytes, 2_000.0),
                at_most(figure::AFTER_BURST, Unit::Bytes, 2_000.0),
            ],
        },
        Case {
            name: "idle-tcp",
            about: "10,000 idle TCP sessions: server memory per connection",
            entries: verbs(&idle),
            budgets: vec![
                at_most(figure::IDLE, Unit::Bytes, 1_500.0),
                at_most(figure::AFTER_BURST, Unit::Bytes, 1_500.0),
            ],
        },
        Case {
            name: "idle-tls",
            about: "10,000 idle TLS sessions: server memory per connection",
            entries: vec![entry(GATEWAY, Server::Gateway(Listener::Tls), &idle)],
            budgets: vec![
                at_most(figure::IDLE, Unit::Bytes, 10_000.0),
                at_most(figure::AFTER_BURST, Unit::Bytes, 10_000.0),
            ],
        },
        Case {
            name: "say-500",
            about: "say to 500 members over TCP: time until the last one has it",
            entries: verbs(&say),
            budgets: vec![share(0.25, figure::LAST, ACTIONHERO)],
        },
        Case {
            name: "rpc-calls-50",
            about: "randomNumber over socket.red, 50 connections with one call in flight each, answered by a builtin action, and by \
                    the peer's own function as a script",
            entries: rpc_servers(1),
            budgets: vec![times(SCRIPT, 1.0, figure::PER_SECOND, SOCKET_RED)],
        },
        Case {
            name: "rpc-calls-500",
            about: "the same with ten calls in flight on each of the 50 connections, so that the servers have no pauses",
            entries: rpc_servers(10),
            budgets: vec![
                times(GATEWAY, 5.0, figure::PER_SECOND, SOCKET_RED),
                times(SCRIPT, 1.0, figure::PER_SECOND, SOCKET_RED),
            ],
        },
        Case {
            name: "rpc-calls-100",
            about: "the same builtin, 100 connections: server CPU per call",
            entries: vec![entry(GATEWAY, rpc, &named_calls(100, 1))],
            budgets: vec![at_most(figure::CPU, Unit::Micros, 6.5)],
        },
        Case {
            name: "rpc-dispatch",
            about: "1,000 sessions of socket.red, 100 calls a second that each dispatch an action to all: server CPU per delivery; by the gateway's own way to reach everybody, \
                    and by a loop in the script, which is what the peer does; a hub's room of the same size beside it",
            entries: vec![
                entry(GATEWAY, script, &fanout(1_000, 100.0, 1)),
                entry(HUB, hub, &fanout(1_000, 100.0, 1)),
                entry("gateway, loop", looping, &fanout(1_000, 100.0, 1)),
                entry(SOCKET_RED, Server::SocketRed, &fanout(1_000, 100.0, 1)),
            ],
            budgets: vec![
                at_most(figure::CPU, Unit::Micros, 4.5),
                share(1.1, figure::CPU, HUB),
            ],
        },
        Case {
            name: "rpc-idle",
            about: "10,000 idle sessions of socket.red, each with a session of the script: server memory per connection",
            entries: vec![
                entry(GATEWAY, script, &idle),
                entry(SOCKET_RED, Server::SocketRed, &idle),
            ],
            budgets: vec![at_most(figure::IDLE, Unit::Bytes, 2_000.0)],
        },
        Case {
            name: "sio-fanout",
            about: "1,000 members of one room over Socket.IO, 100 messages a second one at a time: server CPU per delivery; a hub's room \
                    of the same size beside it",
            entries: sio_fanout(&fanout(1_000, 100.0, 1)),
            budgets: vec![
                share(0.45, figure::CPU, SOCKET_IO),
                share(1.0, figure::CPU, SOCKETIOXIDE),
            ],
        },
        Case {
            name: "sio-fanout-bursts",
            about: "the same in bursts of ten",
            entries: sio_fanout(&fanout(1_000, 100.0, 10)),
            budgets: vec![],
        },
        Case {
            name: "sio-fanout-full",
            about: "1,000 members of one room over Socket.IO, a publisher that keeps 16 messages under way: server CPU per delivery at full load",
            entries: vec![
                entry(
                    GATEWAY,
                    Server::Gateway(Listener::SocketIo),
                    &full(1_000, 1, 100),
                ),
                entry(SOCKET_IO, Server::SocketIo, &full(1_000, 1, 100)),
            ],
            budgets: vec![share(0.45, figure::CPU, SOCKET_IO)],
        },
        Case {
            name: "sio-calls-50",
            about: "randomNumber over Socket.IO, answered by an ack, 50 connections with one in flight each: server CPU per ack",
            entries: sio_servers(&named_calls(50, 1)),
            budgets: vec![share(0.45, figure::CPU, SOCKET_IO)],
        },
        Case {
            name: "sio-calls-500",
            about: "the same with ten in flight on each of the 50 connections",
            entries: sio_servers(&named_calls(50, 10)),
            budgets: vec![share(0.45, figure::CPU, SOCKET_IO)],
        },
        Case {
            name: "sio-idle",
            about: "10,000 idle sessions of Socket.IO in one room: server memory per connection",
            entries: sio_servers(&idle),
            budgets: vec![at_most(figure::IDLE, Unit::Bytes, 2_500.0)],
        },
        Case {
            name: "nodes",
            about: "two nodes on one Redis, ten members of one room on each, 1,000 messages a second published at one of them over Socket.IO: CPU of both \
                    nodes per delivery; latency at the other node",
            entries: nodes(&fanout(20, 1_000.0, 1)),
            budgets: vec![
                share(1.0 / 3.0, figure::CPU, SOCKET_IO),
                at_most(figure::ADDED, Unit::Micros, 3_000.0),
            ],
        },
        Case {
            name: "nodes-bursts",
            about: "the same with 2,000 messages a second in bursts of twenty",
            entries: nodes(&fanout(20, 2_000.0, 20)),
            budgets: vec![share(1.0 / 3.0, figure::CPU, SOCKET_IO)],
        },
        Case {
            name: "nodes-fanout",
            about: "two such nodes with 500 members on each and 50 messages a second, one at a time",
            entries: nodes(&fanout(1_000, 50.0, 1)),
            budgets: vec![at_most(figure::ADDED, Unit::Micros, 3_000.0)],
        },
        Case {
            name: "nodes-full",
            about: "two such nodes with ten members on each and four publishers that keep 16 messages each under way: deliveries for a CPU second of \
                    both nodes at full load",
            entries: nodes(&full(20, 4, 100)),
            budgets: vec![times(GATEWAY, 3.0, figure::PER_CPU_SECOND, SOCKET_IO)],
        },
        Case {
            name: "sc-fanout",
            about: "1,000 subscribers of one channel over SocketCluster, 25 publications a second one at a time, as many as the peer can deliver: server \
                    CPU per delivery",
            entries: sc_servers(&fanout(1_000, 25.0, 1)),
            budgets: vec![share(0.35, figure::CPU, SOCKETCLUSTER)],
        },
        Case {
            name: "sc-fanout-bursts",
            about: "the same in bursts of ten",
            entries: sc_servers(&fanout(1_000, 25.0, 10)),
            budgets: vec![share(0.35, figure::CPU, SOCKETCLUSTER)],
        },
        Case {
            name: "sc-calls-50",
            about: "randomNumber over SocketCluster, 50 connections with one call in flight each: server CPU per answer",
            entries: sc_servers(&named_calls(50, 1)),
            budgets: vec![share(0.35, figure::CPU, SOCKETCLUSTER)],
        },
        Case {
            name: "sc-calls-500",
            about: "the same with ten in flight on each of the 50 connections",
            entries: sc_servers(&named_calls(50, 10)),
            budgets: vec![share(0.35, figure::CPU, SOCKETCLUSTER)],
        },
        Case {
            name: "sc-idle",
            about: "10,000 idle sessions of SocketCluster in one channel: server memory per connection",
            entries: sc_servers(&idle),
            budgets: vec![at_most(figure::IDLE, Unit::Bytes, 2_500.0)],
        },
        Case {
            name: "devtools-relay",
            about: "four apps that keep 16 actions of 500 bytes each under way to three monitors of the Redux DevTools: relayed actions a second",
            entries: vec![
                entry(GATEWAY, Server::Gateway(Listener::Relay), &full(3, 4, 500)),
                entry(REMOTEDEV, Server::Remotedev, &full(3, 4, 500)),
            ],
            budgets: vec![times(GATEWAY, 10.0, figure::PER_SECOND, REMOTEDEV)],
        },
        Case {
            name: "start",
            about: "from the start of the process until all listeners accept; memory with no session; size of the binary",
            entries: vec![entry(GATEWAY, tcp, &Load::Start)],
            budgets: vec![
                at_most(figure::READY, Unit::Micros, 50_000.0),
                at_most(figure::MEMORY, Unit::Bytes, 10e6),
                at_most(figure::BINARY, Unit::Bytes, 20e6),
            ],
        },
    ]
}

fn entry(label: &'static str, server: Server, load: &Load) -> Entry {
    Entry {
        label,
        server,
        load: load.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_budget_is_about_entries_of_its_case() {
        for case in all(Duration::ZERO, Duration::ZERO) {
            assert_eq!(case.entries[0].label, GATEWAY, "{}", case.name);
            for budget in &case.budgets {
                let has = |label| case.entries.iter().any(|entry| entry.label == label);
                assert!(has(budget.of), "{}: {}", case.name, budget.of);
                if let Measure::ShareOf(peer) = budget.measure {
                    assert!(has(peer), "{}: {peer}", case.name);
                }
            }
        }
    }
}
