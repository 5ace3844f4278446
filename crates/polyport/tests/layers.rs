//! Who wins, what a text from the environment means, and what becomes of the settings.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use polyport::config::{
    Bind, Compat, Config, ErrorPrefix, Inputs, ListenerConfig, Loaded, MessageId, Protocol,
    SettingOption, SourceFile, VerbsConfig, VerbsSwitches,
};

fn load(text: &str, variables: &[(&str, &str)], options: &[(&str, &str)]) -> Loaded {
    let inputs = Inputs {
        file: None,
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        options: options
            .iter()
            .map(|(key, value)| SettingOption {
                option: format!("--set {key}"),
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    };
    let file = SourceFile {
        name: "gateway.toml".to_owned(),
        text: text.to_owned(),
        folder: "/etc/polyport".into(),
        built_in: false,
    };
    inputs
        .load_from(&file)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn config(text: &str) -> Config {
    load(text, &[], &[]).config
}

const TCP: &str = "[listeners.tcp]\nprotocol = \"tcp-verbs\"\nbind = \"127.0.0.1:5000\"\n";
const WEB: &str = "[listeners.web]\nprotocol = \"ws-channels\"\nbind = \"127.0.0.1:8001\"\n";

fn only(config: Config) -> ListenerConfig {
    let [listener] = <[ListenerConfig; 1]>::try_from(config.listeners).unwrap();
    listener
}

fn verbs(listener: ListenerConfig) -> VerbsConfig {
    match listener.protocol {
        Protocol::TcpVerbs(verbs) => verbs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn later_layers_win() {
    let file = format!("{TCP}limits.sessions = 1\n");
    let sessions = |variables: &[(&str, &str)], options: &[(&str, &str)]| {
        only(load(&file, variables, options).config).limits.sessions
    };
    let variable = ("POLYPORT_LISTENERS__TCP__LIMITS__SESSIONS", "2");
    let option = ("listeners.tcp.limits.sessions", "3");
    assert_eq!(only(config(TCP)).limits.sessions, 20_000);
    assert_eq!(sessions(&[], &[]), 1);
    assert_eq!(sessions(&[variable], &[]), 2);
    assert_eq!(sessions(&[variable], &[option]), 3);
    assert_eq!(
        sessions(&[], &[option, ("listeners.tcp.limits.sessions", "4")]),
        4
    );
}

#[test]
fn a_text_means_what_the_setting_needs() {
    let listener = |key: &str, value: &str| only(load(TCP, &[], &[(key, value)]).config);
    // A number where a string is wanted stays a string, also with a leading zero.
    for text in ["12345", "0123", "true", "1.50", "2024-01-01"] {
        let changed = listener("listeners.tcp.realm", text);
        assert_eq!(changed.realm.as_str(), text);
    }
    assert_eq!(listener("listeners.tcp.realm", "\"q\"").realm.as_str(), "q");
    let join = |value: &str| -> Vec<String> {
        let rooms = listener("listeners.tcp.join", value).join;
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    };
    assert_eq!(join("[\"a\", \"b\"]"), ["a", "b"]);
    assert_eq!(join("a, b"), ["a", "b"]);
    assert_eq!(join("lobby"), ["lobby"]);
    assert_eq!(join("7"), ["7"]);
    assert!(join("[]").is_empty());
    assert!(join("").is_empty());
    assert_eq!(
        listener("listeners.tcp.limits.message", "2KiB")
            .limits
            .message,
        2048
    );
    assert_eq!(
        listener("listeners.tcp.limits.message", "2048")
            .limits
            .message,
        2048
    );
    assert_eq!(
        listener("listeners.tcp.bind", "localhost:7").bind,
        Bind::Tcp(([127, 0, 0, 1], 7).into())
    );
    let tls = listener(
        "listeners.tcp.tls",
        "{ cert = \"c.pem\", key = \"/k.pem\" }",
    )
    .tls;
    assert_eq!(tls[0].cert.to_str(), Some("/etc/polyport/c.pem"));
    assert_eq!(tls[0].key.to_str(), Some("/k.pem"));
}

#[test]
fn a_listener_can_come_from_the_environment_alone() {
    let variables = [
        ("POLYPORT_LISTENERS__CHAT__PROTOCOL", "ws-channels"),
        ("POLYPORT_LISTENERS__CHAT__BIND", "[::1]:9"),
        ("POLYPORT_LISTENERS__CHAT__CHANNELS__PING", "30s"),
        ("LANG", "C"),
    ];
    let chat = only(load("", &variables, &[]).config);
    assert_eq!(chat.name, "chat");
    assert_eq!(chat.bind, Bind::Tcp("[::1]:9".parse().unwrap()));
    let Protocol::WsChannels(channels) = chat.protocol else {
        panic!("{:?}", chat.protocol)
    };
    assert_eq!(channels.ping, Some(Duration::from_secs(30)));
}

#[test]
fn defaults_follow_the_protocol() {
    let tcp = only(config(TCP)).limits;
    let web = only(config(WEB)).limits;
    assert_eq!(
        (tcp.message, tcp.outbox, tcp.calls_in_flight),
        (1 << 20, 1 << 20, 5)
    );
    assert_eq!(
        (web.message, web.outbox, web.calls_in_flight),
        (4_194_303, 8 << 20, 100)
    );
}

#[test]
fn zero_is_no_bound() {
    let text = format!(
        "{TCP}[listeners.tcp.limits]\nsessions = 0\nmessage = 0\ncalls_in_flight = 0\nidle = \"0s\"\nwrite = \"0s\"\n"
    );
    let limits = only(config(&text)).limits;
    assert_eq!(limits.sessions, 0);
    assert_eq!(limits.message, usize::MAX);
    assert_eq!(limits.calls_in_flight, usize::MAX);
    assert_eq!(limits.idle, Duration::ZERO);
    let far = std::time::Instant::now().checked_add(limits.write);
    assert!(limits.write > Duration::from_secs(365 * 86_400) && far.is_some());
}

#[test]
fn compat_is_a_bundle_and_each_switch_can_be_set_alone() {
    let text = format!(
        "{TCP}[listeners.tcp.verbs]\ncompat = \"v20\"\nerror_prefix = \"all\"\necho_own_say = false\n"
    );
    let verbs = verbs(only(config(&text)));
    assert_eq!(verbs.compat, Compat::V20);
    assert_eq!(
        verbs.switches,
        VerbsSwitches {
            error_prefix: ErrorPrefix::All,
            echo_own_say: false,
            ..VerbsSwitches::of(Compat::V20)
        }
    );
    assert_eq!(verbs.switches.message_id, MessageId::Always);
}

#[test]
fn a_listener_of_verbs_without_a_table_of_its_own_is_classic() {
    let verbs = verbs(only(config(TCP)));
    assert_eq!(verbs.compat, Compat::Classic);
    assert_eq!(verbs.switches, VerbsSwitches::of(Compat::Classic));
    assert_eq!(verbs.welcome, "Hello! Welcome to the actionhero api");
    assert_eq!(verbs.default_room.as_str(), "defaultRoom");
    assert_eq!(verbs.rooms.len(), 3);
    assert_eq!(verbs.delimiter, b'\n');
    assert_eq!(verbs.max_data_length, None);
    assert_eq!(verbs.files[0].to_str(), Some("/etc/polyport/public"));
}

#[test]
fn cr_lf_as_delimiter_means_lf() {
    let text = format!("{TCP}verbs.delimiter = \"\\r\\n\"\n");
    assert_eq!(verbs(only(config(&text))).delimiter, b'\n');
}

#[test]
fn a_default_room_that_is_joined_exists() {
    let text =
        format!("{TCP}verbs = {{ auto_join = true, default_room = \"home\", rooms = [] }}\n");
    let verbs = verbs(only(config(&text)));
    assert_eq!(verbs.rooms, std::slice::from_ref(&verbs.default_room));
}

#[test]
fn one_certificate_or_several() {
    let text = format!(
        "{TCP}[[listeners.tcp.tls]]\ncert = \"a\"\nkey = \"b\"\n[[listeners.tcp.tls]]\ncert = \"c\"\nkey = \"d\"\nnames = [\"d.example\"]\n"
    );
    let tls = only(config(&text)).tls;
    assert_eq!(tls.len(), 2);
    assert_eq!(tls[1].names, ["d.example"]);
}

#[test]
fn the_admin_listener_is_there_when_its_table_is() {
    assert_eq!(config(TCP).admin, None);
    let admin = config(&format!("{TCP}[admin]\n")).admin;
    assert_eq!(admin, Some(([127, 0, 0, 1], 9900).into()));
}

#[test]
fn equal_texts_are_equal_configurations() {
    let text = format!("{TCP}{WEB}");
    assert_eq!(config(&text), config(&text));
    let other = format!("{text}join = [\"news\"]\n");
    assert_ne!(config(&text), config(&other));
}

#[test]
fn the_configuration_in_effect_names_its_sources() {
    let loaded = load(
        &format!("{TCP}join = [\n  \"lobby\",\n]\n"),
        &[("POLYPORT_LOG__LEVEL", "debug")],
        &[("listeners.tcp.verbs.compat", "v29")],
    );
    let effective = loaded.effective();
    for line in [
        "level = \"debug\"  # environment POLYPORT_LOG__LEVEL",
        "format = \"auto\"  # default",
        "bind = \"127.0.0.1:5000\"  # gateway.toml:3",
        "join = [\"lobby\"]  # gateway.toml:4",
        "compat = \"v29\"  # --set listeners.tcp.verbs.compat",
        "goodbye = \"Bye\"  # by compat",
        "message = \"1MiB\"  # default of the protocol",
        "delimiter = \"\\n\"  # default",
    ] {
        assert!(
            effective.lines().any(|printed| printed == line),
            "{line} in\n{effective}"
        );
    }
    // It is a configuration itself, and means the same.
    assert_eq!(load(&effective, &[], &[]).config, loaded.config);
}

#[test]
fn certificates_of_the_configuration_in_effect_read_back() {
    let text = format!("{TCP}tls = {{ cert = \"a\", key = \"b\", names = [\"x\"] }}\n{WEB}");
    let loaded = load(&text, &[], &[]);
    let effective = loaded.effective();
    assert!(
        effective.contains("cert = \"a\"  # gateway.toml:4"),
        "{effective}"
    );
    assert_eq!(load(&effective, &[], &[]).config, loaded.config);
}
