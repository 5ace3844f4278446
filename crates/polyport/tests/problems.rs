//! What an operator reads when the configuration is wrong: each line of a message is a promise.

use polyport::config::{Inputs, SettingOption, SourceFile};

fn file(text: &str) -> SourceFile {
    SourceFile {
        name: "gateway.toml".to_owned(),
        text: text.to_owned(),
        folder: "/etc/polyport".into(),
        built_in: false,
    }
}

fn problems(text: &str, variables: &[(&str, &str)], options: &[(&str, &str)]) -> Vec<String> {
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
    match inputs.load_from(&file(text)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text, &[], &[]), expected);
}

/// A listener with nothing wrong, on lines 1 to 3.
const GOOD: &str = "[listeners.tcp]\nprotocol = \"tcp-verbs\"\nbind = \"127.0.0.1:5000\"\n";

/// `GOOD` with more behind it; the first line of `more` is line 4.
fn good_and(more: &str) -> String {
    format!("{GOOD}{more}")
}

#[track_caller]
fn check_more(more: &str, expected: &str) {
    check(&good_and(more), &[expected]);
}

#[test]
fn a_good_file_has_no_problems() {
    check(GOOD, &[]);
}

#[test]
fn unknown_keys() {
    check_more(
        "[listeners.tcp.limits]\n  sesions = 5",
        "gateway.toml:5:3: listeners.tcp.limits.sesions: unknown key; did you mean `sessions`? (valid: sessions, \
         sessions_per_address, message, outbox, calls_in_flight, rooms_per_session, params_per_session, params_bytes, \
         handshake, idle, write, call)",
    );
    check_more(
        "[lgo]\nlevel = \"info\"",
        "gateway.toml:4:2: lgo: unknown key; did you mean `log`? (valid: log, shutdown, limits, admin, api, tokens, backends, backplane, listeners)",
    );
    check_more(
        "[admin]\nbind = \"127.0.0.1:9900\"\ntoken = \"x\"",
        "gateway.toml:6:1: admin.token: unknown key (valid: bind)",
    );
    check_more(
        "tls = [{ cert = \"c\", key = \"k\", name = [] }]",
        "gateway.toml:4:33: listeners.tcp.tls.0.name: unknown key; did you mean `names`? (valid: cert, key, names)",
    );
}

#[test]
fn values_of_a_wrong_type() {
    check_more(
        "[shutdown]\ndeadline = 5",
        "gateway.toml:5:12: shutdown.deadline: expected a duration such as \"10s\", found integer 5",
    );
    check_more(
        "limits.idle = \"soon\"",
        "gateway.toml:4:15: listeners.tcp.limits.idle: expected a duration such as \"10s\", found string \"soon\"",
    );
    check_more(
        "limits.message = \"1MB\"",
        "gateway.toml:4:18: listeners.tcp.limits.message: expected a size such as \"64KiB\", \"1MiB\" or a number of \
         bytes, found string \"1MB\"",
    );
    check_more(
        "limits.sessions = -1",
        "gateway.toml:4:19: listeners.tcp.limits.sessions: expected a whole number, 0 or more, found integer -1",
    );
    check_more(
        "limits.sessions = 1.5",
        "gateway.toml:4:19: listeners.tcp.limits.sessions: expected a whole number, 0 or more, found number 1.5",
    );
    check_more(
        "join = \"lobby\"",
        "gateway.toml:4:8: listeners.tcp.join: expected a list, found string \"lobby\"",
    );
    check_more(
        "join = [\"lobby\", 5]",
        "gateway.toml:4:18: listeners.tcp.join.1: expected a string, found integer 5",
    );
    check_more(
        "limits = []",
        "gateway.toml:4:10: listeners.tcp.limits: expected a table, found a list",
    );
    check_more(
        "verbs.echo_own_say = \"yes\"",
        "gateway.toml:4:22: listeners.tcp.verbs.echo_own_say: expected true or false, found string \"yes\"",
    );
    check_more(
        "verbs.sticky_scrub = 1",
        "gateway.toml:4:22: listeners.tcp.verbs.sticky_scrub: expected true, false or \"partly\", found integer 1",
    );
    check_more(
        "proxy_protocol = [\"10.0.0.0/40\"]",
        "gateway.toml:4:19: listeners.tcp.proxy_protocol.0: expected a network or an address such as \"10.0.0.0/8\" or \
         \"::1\", found string \"10.0.0.0/40\"",
    );
    check_more(
        "[admin]\nbind = 9900",
        "gateway.toml:5:8: admin.bind: expected an address such as \"127.0.0.1:5000\", \"[::1]:5000\" or \
         \"unix:/run/polyport.sock\", found integer 9900",
    );
    check_more(
        "tls = \"cert.pem\"",
        "gateway.toml:4:7: listeners.tcp.tls: expected a table or a list of tables, found string \"cert.pem\"",
    );
}

#[test]
fn words_of_a_list() {
    check_more(
        "verbs.compat = \"v11\"",
        "gateway.toml:4:16: listeners.tcp.verbs.compat: unknown value `v11`; did you mean `v12`? (valid: classic, v9, \
         v12, v18, v20, v29)",
    );
    // An index is no word, although serde would take it for one.
    check_more(
        "verbs.message_id = 0",
        "gateway.toml:4:20: listeners.tcp.verbs.message_id: expected a string, found integer 0",
    );
}

#[test]
fn protocols_that_nobody_knows_are_refused() {
    check(
        &GOOD.replace("tcp-verbs", "carrier-pigeon"),
        &[
            "gateway.toml:2:12: listeners.tcp.protocol: unknown protocol `carrier-pigeon` (valid: tcp-verbs, ws-channels, ws-rpc, socket-io, devtools-relay)",
        ],
    );
}

#[test]
fn what_a_devtools_listener_could_never_do_is_refused() {
    let with = |line: &str| {
        problems(
            &format!(
                "[listeners.devtools]\nprotocol = \"devtools-relay\"\nbind = \"127.0.0.1:8000\"\n[listeners.devtools.devtools]\n{line}"
            ),
            &[],
            &[],
        )
    };
    for (line, expected) in [
        ("path = \"socketcluster/\"", "begins with a slash"),
        ("protocol_version = 3", "expected \"auto\", 1 or 2"),
        ("protocol_version = \"one\"", "expected \"auto\", 1 or 2"),
        ("codec = \"msgpack\"", "codec"),
        ("ping_interval = \"0s\"", "above zero"),
        ("ping_timeout = \"25d\"", "below 24 days"),
        ("ping_timeout = \"8s\"", "longer than `ping_interval`"),
        ("origins = [\"https://app.example.com\"]", "no origin"),
        ("origins = [\"app.example.com\"]", "no origin"),
        ("relay = true\nmax_apps = 0", "one at least"),
        ("grace = \"25d\"", "below 24 days"),
        (
            "relay = true\nrecordings_size = \"1KiB\"",
            "\"1MiB\" at least",
        ),
        ("ask_backends = \"never\"", "never"),
        (
            "rights_claim = \"devtools\"",
            "set the listener's `auth` too",
        ),
        (
            "team_hosts = \"devtools.example.com\"",
            "a star and a domain",
        ),
        ("team_hosts = \"*.\"", "a star and a domain"),
        ("team_hosts = \"*.a:80\"", "a star and a domain"),
        ("team_hosts = \"*.dev.example\"", "there are no teams"),
        (
            "users = [{ name = \"a:b\", secret = \"env:HOME\" }]",
            "without a colon",
        ),
        (
            "users = [{ name = \"a\", secret = \"env:NOT_SET\" }]",
            "NOT_SET is not set",
        ),
    ] {
        let found = with(line);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains(expected), "{line}: {found:?}");
    }
    for line in [
        "protocol_version = 1",
        "codec = \"min-bin\"",
        "protocol_version = \"auto\"",
        "origins = [\"*:*\", \"app.example.com:443\"]",
    ] {
        assert!(with(line).is_empty(), "{line}: {:?}", with(line));
    }
}

#[test]
fn what_is_required_is_missing() {
    check(
        "[listeners.tcp]\n",
        &[
            "gateway.toml:1:12: listeners.tcp.protocol: missing (valid: tcp-verbs, ws-channels, ws-rpc, socket-io, devtools-relay)",
            "gateway.toml:1:12: listeners.tcp.bind: missing; an address such as \"127.0.0.1:5000\"",
        ],
    );
    check_more(
        "tls = { cert = \"c.pem\" }",
        "gateway.toml:4:7: listeners.tcp.tls.key: missing",
    );
    check(
        "",
        &["gateway.toml: listeners: no listener is configured; add a [listeners.NAME] table"],
    );
}

#[test]
fn tables_of_another_protocol() {
    check_more(
        "[listeners.tcp.channels]\necho = true",
        "gateway.toml:4:16: listeners.tcp.channels: this table belongs to listeners with protocol = \"ws-channels\", and \
         `tcp` has protocol = \"tcp-verbs\"",
    );
    check(
        &GOOD
            .replace("tcp-verbs", "ws-channels")
            .replace("bind", "verbs = { compat = \"v9\" }\nbind"),
        &[
            "gateway.toml:3:1: listeners.tcp.verbs: this table belongs to listeners with protocol = \"tcp-verbs\", and \
             `tcp` has protocol = \"ws-channels\"",
        ],
    );
}

#[test]
fn names_and_patterns() {
    check_more(
        "realm = \"\"",
        "gateway.toml:4:9: listeners.tcp.realm: a name may not be empty",
    );
    check_more(
        "join = [\"lobby\", \"\"]",
        "gateway.toml:4:18: listeners.tcp.join.1: a name may not be empty",
    );
    check_more(
        "backends = [\"buildin\"]",
        "gateway.toml:4:13: listeners.tcp.backends.0: unknown backend `buildin`; did you mean `builtin`? (valid: builtin)",
    );
    check(
        "[listeners.\"my tcp\"]\nprotocol = \"tcp-verbs\"\nbind = \"127.0.0.1:0\"\n",
        &[
            "gateway.toml:1:12: listeners.my tcp: a listener's name consists of letters, digits, `-` and `_`",
        ],
    );
    let told = problems(&good_and("permissions.join = [\"*\", \"[a\"]"), &[], &[]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("gateway.toml:4:26: listeners.tcp.permissions.join.1: `[a` "),
        "{told:?}"
    );
}

#[test]
fn log_levels() {
    check_more(
        "[log]\nlevel = \"info,polyport_net\"",
        "gateway.toml:5:9: log.level: expected a level (off, error, warn, info, debug, trace) and levels of modules, \
         such as \"info,polyport_net=debug\"; `polyport_net` is neither",
    );
}

#[test]
fn delimiters() {
    check(&good_and("verbs.delimiter = \"\\r\\n\""), &[]);
    check_more(
        "verbs.delimiter = \"\"",
        "gateway.toml:4:19: listeners.tcp.verbs.delimiter: may not be empty",
    );
    check_more(
        "verbs.delimiter = \"|\\r\"",
        "gateway.toml:4:19: listeners.tcp.verbs.delimiter: may not contain \"\\r\", which clients' lines never keep; use \
         \"\\n\" for lines that end in CR LF",
    );
}

#[test]
fn an_address_is_taken_once() {
    let second = |bind: &str| {
        good_and(&format!(
            "[listeners.web]\nprotocol = \"ws-channels\"\nbind = \"{bind}\"\n"
        ))
    };
    check(
        &second("127.0.0.1:5000"),
        &[
            "gateway.toml:6:8: listeners.web.bind: 127.0.0.1:5000 is taken by listeners.tcp.bind (gateway.toml:3:8)",
        ],
    );
    check(
        &second("0.0.0.0:5000"),
        &[
            "gateway.toml:6:8: listeners.web.bind: 0.0.0.0:5000 is taken by listeners.tcp.bind (gateway.toml:3:8)",
        ],
    );
    check(&second("127.0.0.2:5000"), &[]);
    check(&second("[::]:5000"), &[]);
    check_more(
        "[admin]\nbind = \"127.0.0.1:5000\"",
        "gateway.toml:3:8: listeners.tcp.bind: 127.0.0.1:5000 is taken by admin.bind (gateway.toml:5:8)",
    );
    let two_free = second("127.0.0.1:0").replace(":5000", ":0");
    check(&two_free, &[]);
    let two_sockets = second("unix:/run/p.sock").replace("127.0.0.1:5000", "unix:/run/p.sock");
    check(
        &two_sockets,
        &[
            "gateway.toml:6:8: listeners.web.bind: unix:/run/p.sock is taken by listeners.tcp.bind (gateway.toml:3:8)",
        ],
    );
}

#[test]
fn a_text_that_is_no_toml() {
    let told = problems("[listeners.tcp]\nprotocol = tcp-verbs\nbind =\n", &[], &[]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("gateway.toml:2:12: not valid TOML: "),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("gateway.toml:3:7: not valid TOML: "),
        "{told:?}"
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "[listeners.tcp]\nprotocol = \"tcp\"\nbind = 5\njoin = [1, 2]\nlimits = { idle = 1, outbx = 2 }\n[log]\nlevel = \"loud\"\n";
    let told = problems(
        text,
        &[("POLYPORT_SHUTDOWN__DEADLINE", "soon")],
        &[("log.format", "xml")],
    );
    let keys: Vec<_> = told
        .iter()
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        keys,
        [
            "gateway.toml:2:12 listeners.tcp.protocol",
            "gateway.toml:3:8 listeners.tcp.bind",
            "gateway.toml:4:9 listeners.tcp.join.0",
            "gateway.toml:5:19 listeners.tcp.limits.idle",
            "gateway.toml:5:22 listeners.tcp.limits.outbx",
            "gateway.toml:7:9 log.level",
            "environment POLYPORT_SHUTDOWN__DEADLINE shutdown.deadline",
            "--set log.format log.format",
        ]
    );
}

#[test]
fn variables_are_named() {
    #[track_caller]
    fn check(name: &str, value: &str, expected: &[&str]) {
        assert_eq!(problems(GOOD, &[(name, value)], &[]), expected);
    }
    check(
        "POLYPORT_LISTENERS__TCP__LIMITS__SESIONS",
        "5",
        &[
            "environment POLYPORT_LISTENERS__TCP__LIMITS__SESIONS: listeners.tcp.limits.sesions: unknown key; did you mean \
           `sessions`? (valid: sessions, sessions_per_address, message, outbox, calls_in_flight, rooms_per_session, \
           params_per_session, params_bytes, handshake, idle, write, call)",
        ],
    );
    check(
        "POLYPORT_LISTENERS__TCP__LIMITS__SESSIONS",
        "many",
        &[
            "environment POLYPORT_LISTENERS__TCP__LIMITS__SESSIONS: listeners.tcp.limits.sessions: expected a whole number, 0 \
           or more, found string \"many\"",
        ],
    );
    check(
        "POLYPORT_SHUTDOWN__DEADLINE",
        "5",
        &[
            "environment POLYPORT_SHUTDOWN__DEADLINE: shutdown.deadline: expected a duration such as \"10s\", found integer 5",
        ],
    );
    check(
        "POLYPORT_LOG_LEVEL",
        "debug",
        &[
            "environment POLYPORT_LOG_LEVEL: no setting; two underscores stand between levels, as in POLYPORT_LOG__LEVEL",
        ],
    );
    check(
        "POLYPORT_LISTENERS__TCP__JOIN",
        "[1, 2]",
        &[
            "environment POLYPORT_LISTENERS__TCP__JOIN: listeners.tcp.join.0: expected a string, found integer 1",
        ],
    );
    // What is no setting of ours is left alone, service links of container platforms among it.
    for foreign in [
        "POLYPORT_CONFIG",
        "POLYPORT_PORT",
        "POLYPORT_ADMIN_SERVICE_HOST",
        "POLYPORT_ADMIN_PORT_9900_TCP",
        "POLYPORT_JWT_SECRET",
        "LISTENERS__TCP__BIND",
    ] {
        check(foreign, "x", &[]);
    }
}

#[test]
fn options_are_named() {
    assert_eq!(
        problems(GOOD, &[], &[("listeners.tcp.verbs.compat", "v8")]),
        [
            "--set listeners.tcp.verbs.compat: listeners.tcp.verbs.compat: unknown value `v8`; did you mean `v9`? (valid: \
           classic, v9, v12, v18, v20, v29)"
        ]
    );
}

#[test]
fn backends() {
    check_more(
        "[backends.app]\nkind = \"scirpt\"\nfile = \"a.js\"\n",
        "gateway.toml:5:8: backends.app.kind: unknown value `scirpt`; did you mean `script`? (valid: script, http)",
    );
    check_more(
        "[backends.app]\nfile = \"a.js\"\n",
        "gateway.toml:4:11: backends.app.kind: missing (valid: script, http)",
    );
    check_more(
        "[backends.app]\nkind = \"script\"\n",
        "gateway.toml:4:11: backends.app.file: missing; the JavaScript file",
    );
    check_more(
        "[backends.app]\nkind = \"script\"\nfile = \"a.js\"\nmemory = \"1MiB\"\n",
        "gateway.toml:7:10: backends.app.memory: an engine needs 4MiB at least",
    );
    check_more(
        "[backends.app]\nkind = \"script\"\nfile = \"a.js\"\ntime = \"0s\"\n",
        "gateway.toml:7:8: backends.app.time: a script without an end would stop its engine",
    );
    check_more(
        "[backends.app]\nkind = \"script\"\nfile = \"a.js\"\ninstances = 0\n",
        "gateway.toml:7:13: backends.app.instances: expected a number from 1 to 64",
    );
    check_more(
        "backends = [\"ap\"]\n[backends.app]\nkind = \"script\"\nfile = \"a.js\"\n",
        "gateway.toml:4:13: listeners.tcp.backends.0: unknown backend `ap`; did you mean `app`? (valid: builtin, app)",
    );
    check_more(
        "[backends.builtin]\nkind = \"script\"\nfile = \"a.js\"\n",
        "gateway.toml:4:11: backends.builtin: `builtin` is the name of the actions that are built in",
    );
}

#[test]
fn tokens() {
    check_more(
        "[tokens.main]\n",
        "gateway.toml:4:9: tokens.main.keys: missing; without a key or a `jwks` no token is good",
    );
    check_more(
        "[tokens.main]\nkeys = [{ algorithm = \"RS256\", secret = \"env:A\" }]\n",
        "gateway.toml:5:23: tokens.main.keys.0.algorithm: RS256 takes `public_key` and no `secret`",
    );
    check_more(
        "[tokens.main]\nkeys = [{ algorithm = \"none\", secret = \"env:A\" }]\n",
        "gateway.toml:5:23: tokens.main.keys.0.algorithm: unknown value `none` (valid: HS256, HS384, HS512, RS256, RS384, \
         RS512, PS256, PS384, PS512, ES256, ES384, EdDSA)",
    );
    check_more(
        "[tokens.main]\nkeys = [{ algorithm = \"HS256\", secret = \"hunter2\" }]\n",
        "gateway.toml:5:41: tokens.main.keys.0.secret: expected where the secret is, \"env:NAME\" or \"file:PATH\", found another text",
    );
    check_more(
        "[tokens.main]\nkeys = [{ algorithm = \"HS256\", secret = \"env:APP_SECRET\" }]\n",
        "gateway.toml:5:41: tokens.main.keys.0.secret: the environment variable APP_SECRET is not set",
    );
    check_more(
        "[tokens.main.jwks]\nurl = \"issuer.example\"\n",
        "gateway.toml:5:7: tokens.main.jwks.url: expected an address that begins with http:// or https://",
    );
    check_more(
        "auth = { tokens = \"main\" }\n",
        "gateway.toml:4:19: listeners.tcp.auth.tokens: there is no [tokens.main] (valid: )",
    );
    check_more(
        "rpc.validators = true\n",
        "gateway.toml:4:1: listeners.tcp.rpc: this table belongs to listeners with protocol = \"ws-rpc\", and `tcp` has \
         protocol = \"tcp-verbs\"",
    );
}

#[test]
fn services() {
    check_more(
        "[backends.app]\nkind = \"http\"\n",
        "gateway.toml:4:11: backends.app.url: missing; expected an address such as \"http://127.0.0.1:7000/polyport\" or \
         \"unix:/run/app.sock\"",
    );
    check_more(
        "[backends.app]\nkind = \"htpp\"\n",
        "gateway.toml:5:8: backends.app.kind: unknown value `htpp`; did you mean `http`? (valid: script, http)",
    );
    check_more(
        "[backends.app]\nurl = \"http://a/\"\n",
        "gateway.toml:4:11: backends.app.kind: missing (valid: script, http)",
    );
    check_more(
        "[backends.app]\nkind = \"http\"\nurl = \"ftp://a/\"\n",
        "gateway.toml:6:7: backends.app.url: expected an address such as \"http://127.0.0.1:7000/polyport\" or \
         \"unix:/run/app.sock\"",
    );
    check_more(
        "[backends.app]\nkind = \"script\"\nfile = \"a.js\"\nhooks = [\"open\"]\n",
        "gateway.toml:7:1: backends.app.hooks: not a setting of backends with kind = \"script\"",
    );
    check_more(
        "[backends.app]\nkind = \"script\"\nfile = \"a.js\"\nmemory = \"1MiB\"\n",
        "gateway.toml:7:10: backends.app.memory: an engine needs 4MiB at least",
    );
    check_more(
        "[backends.app]\nkind = \"http\"\nurl = \"http://a/\"\nhooks = [\"opne\"]\n",
        "gateway.toml:7:10: backends.app.hooks.0: unknown value `opne`; did you mean `open`? (valid: open, close, join, publish)",
    );
    check_more(
        "[backends.app]\nkind = \"http\"\nurl = \"http://a/\"\nsecrets = [\"hunter2\"]\n",
        "gateway.toml:7:12: backends.app.secrets.0: expected where the secret is, \"env:NAME\" or \"file:PATH\", found another text",
    );
    check_more(
        "[backends.app]\nkind = \"http\"\nurl = \"http://a/\"\nsecrets = [\"env:APP_SECRET\"]\n",
        "gateway.toml:7:12: backends.app.secrets.0: the environment variable APP_SECRET is not set",
    );
    check_more(
        "backends = [\"ap\"]\n[backends.app]\nkind = \"http\"\nurl = \"http://a/\"\n",
        "gateway.toml:4:13: listeners.tcp.backends.0: unknown backend `ap`; did you mean `app`? (valid: builtin, app)",
    );
    check_more(
        "[backends.builtin]\nkind = \"http\"\nurl = \"http://a/\"\n",
        "gateway.toml:4:11: backends.builtin: `builtin` is the name of the actions that are built in",
    );
}

#[test]
fn keys_of_the_server_api() {
    check_more(
        "[api]\n",
        "gateway.toml:4:1: api: the server API is on the admin listener: add [admin]",
    );
    check_more(
        "[admin]\n[api.keys.app]\nhash = \"secret\"\n",
        "gateway.toml:6:8: api.keys.app.hash: expected a hash such as \"sha256:9f86…\", which `polyport api-key` makes, found another text",
    );
    let short = problems(
        &good_and("[admin]\n[api]\n"),
        &[("POLYPORT_API_KEY", "short")],
        &[],
    );
    assert_eq!(
        short,
        ["gateway.toml:5:1: api: POLYPORT_API_KEY is shorter than 22 characters"]
    );
}

#[test]
fn jsonp_is_for_everybody_or_nobody() {
    let with = |cors: &str| {
        problems(
            &format!(
                "[listeners.io]\nprotocol = \"socket-io\"\nbind = \"127.0.0.1:3000\"\n[listeners.io.socket_io]\njsonp = true\n{cors}"
            ),
            &[],
            &[],
        )
    };
    let fault = "gateway.toml:5:9: listeners.io.socket_io.jsonp: JSONP can be read by every page, so it needs cors = { origins = [\"*\"] } without credentials";
    for cors in [
        "",
        "cors = { origins = [] }",
        "cors = { origins = [\"https://a.example\"] }",
        "cors = { origins = [\"*\", \"https://a.example\"] }",
        "cors = { origins = [\"*\"], credentials = true }",
    ] {
        assert_eq!(with(cors), [fault], "{cors}");
    }
    assert!(with("cors = { origins = [\"*\"] }").is_empty());
}

#[test]
fn what_a_socket_io_listener_could_never_do_is_refused() {
    let with = |line: &str| {
        problems(
            &format!(
                "[listeners.io]\nprotocol = \"socket-io\"\nbind = \"127.0.0.1:3000\"\nauth = {{ tokens = \"main\" }}\n[tokens.main]\nkeys = [{{ algorithm = \"HS256\", secret = \"env:POLYPORT_JWT_SECRET\" }}]\n[listeners.io.socket_io]\n{line}"
            ),
            &[],
            &[],
        )
    };
    for (line, expected) in [
        ("cors = { origins = [\"app.example.com\"] }", "no origin"),
        (
            "cors = { origins = [\"https://app.example.com/\"] }",
            "no origin",
        ),
        ("cors = { credentials = true }", "`origins` is empty"),
        ("cookie = \"a b\"", "the name of a cookie"),
        ("cookie = \"a;\\r\\nX: 1\"", "the name of a cookie"),
        ("namespaces = [\"/a,b\"]", "no namespace"),
        (
            "publish = [{ event = \"connect\", rooms = [\"a\"] }]",
            "no client sends or hears",
        ),
        (
            "publish = [{ event = \"a\", as = \"disconnect\", rooms = [\"a\"] }]",
            "no client sends or hears",
        ),
        (
            "publish = [{ event = \"a\", rooms = [] }]",
            "name at least one",
        ),
        ("jwt = { callback = \"0s\" }", "expected a time above zero"),
    ] {
        let found = with(line);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains(expected), "{line}: {found:?}");
    }
    for line in [
        "cors = { origins = [\"https://app.example.com\", \"http://localhost:*\", \"null\"], credentials = true }",
        "cors = { origins = [\"https://*.example.com\", \"*\"] }",
        "cookie = \"io\"",
        "publish = [{ event = \"a\", rooms = [\"a\"] }]",
    ] {
        assert!(with(line).is_empty(), "{line}: {:?}", with(line));
    }
}

#[test]
fn adapters_on_redis_that_cannot_be_together_are_refused() {
    let with = |lines: &str| {
        problems(
            &format!(
                "[listeners.io]\nprotocol = \"socket-io\"\nbind = \"127.0.0.1:3000\"\n[backplane]\nengine = \"redis\"\n{lines}"
            ),
            &[],
            &[],
        )
    };
    for (lines, expected) in [
        ("socket_io = { adapters = [] }", "name at least one"),
        (
            "socket_io = { adapters = [\"sharded\", \"sharded-static\"] }",
            "one subscriptionMode",
        ),
        (
            "url = \"redis://u:p@127.0.0.1:6379\"",
            "settings of their own",
        ),
        (
            "url = [\"redis://127.0.0.1:6379\", \"x\"]",
            "no address of Redis",
        ),
        ("queue = \"1KiB\"", "64KiB at least"),
        (
            "keys = { default = \"a\", shop = \"a\" }",
            "another realm has this key",
        ),
        (
            "keys = { \"a/b\" = \"c\" }",
            "what follows the slash is a namespace",
        ),
        ("streams = { length = 99 }", "expected 100 or more"),
        ("streams = { count = 0 }", "expected 1 to 16"),
        ("streams = { count = 17 }", "expected 1 to 16"),
        (
            "streams = { session_prefix = \"\" }",
            "any key could be taken",
        ),
    ] {
        let found = with(lines);
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].contains(expected), "{lines}: {found:?}");
    }
    for lines in [
        "",
        "socket_io = { adapters = [\"classic\", \"sharded\"] }",
        "deployment = \"cluster\"\nsocket_io = { adapters = [\"sharded\"] }",
        "url = \"redis+unix:///run/redis.sock\"",
    ] {
        assert!(with(lines).is_empty(), "{lines}: {:?}", with(lines));
    }
}

#[test]
fn the_engine_of_streams_has_servers_of_its_own() {
    let with = |lines: &str| {
        let backplane = format!("[backplane]\nengine = \"redis-streams\"\n{lines}");
        let listener = "[listeners.io]\nprotocol = \"socket-io\"\nbind = \"127.0.0.1:3000\"\n";
        problems(&format!("{listener}{backplane}"), &[], &[])
    };
    let found = with("socket_io = { adapters = [\"sharded\"] }");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("leave this out"), "{found:?}");
    for lines in [
        "",
        "streams = { length = 100, count = 16 }",
        "deployment = \"cluster\"\nurl = [\"redis://127.0.0.1:6379\"]",
    ] {
        assert!(with(lines).is_empty(), "{lines}: {:?}", with(lines));
    }
}
