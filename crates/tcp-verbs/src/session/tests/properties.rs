//! What holds for any lines, however they arrive.

use proptest::{collection::vec, prelude::*};
use tokio::{runtime, time};

use super::world::{Setup, Version, lines, masked};

/// A line of the protocol's own words and of others, never a goodbye and never a file that exists.
fn line() -> impl Strategy<Value = String> {
    let room = prop_oneof![
        Just("defaultRoom"),
        Just("otherRoom"),
        Just("nope"),
        Just(""),
    ];
    let verb = prop_oneof![
        Just("paramAdd"),
        Just("paramDelete"),
        Just("paramView"),
        Just("paramsView"),
        Just("paramsDelete"),
        Just("roomAdd"),
        Just("roomLeave"),
        Just("roomView"),
        Just("detailsView"),
        Just("say"),
        Just("file"),
        Just("randomNumber"),
        Just("sleepTest"),
        Just("cacheTest"),
    ];
    let param = prop_oneof![
        Just("key"),
        Just("value"),
        Just("messageId"),
        Just("sleepDuration")
    ];
    prop_oneof![
        (verb.clone(), room, "[ -~é☃]{0,12}")
            .prop_map(|(verb, room, text)| format!("{verb} {room} {text}")),
        (verb, "[ -~]{0,6}").prop_map(|(verb, text)| format!("{verb} {text}")),
        (param.clone(), "[ -~\u{1}☃]{0,8}")
            .prop_map(|(key, value)| format!("paramAdd {key}={value}")),
        (param, 0..300_u32).prop_map(|(key, value)| {
            format!(r#"{{"action":"sleepTest","params":{{"{key}":{value}}}}}"#)
        }),
        "\\{\"(action|params)\":[ -~]{0,20}\\}?",
        "[ -~☃\u{0}-\u{3}\t]{0,20}",
        "x{60,70}",
        Just(String::new()),
    ]
    .prop_map(|line| line.replace(['\r', '\n', '\u{4}'], ""))
    .prop_filter("no goodbye", |line| {
        let first = line.split(' ').next().unwrap_or_default();
        !matches!(first, "quit" | "exit")
    })
}

fn version() -> impl Strategy<Value = Version> {
    (0..Version::ALL.len()).prop_map(|index| Version::ALL[index])
}

/// All replies to `reads`, the late ones too.
fn replies(version: Version, reads: &[&[u8]]) -> Vec<String> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut setup = Setup::new(version);
        setup.options.max_data_length = 64;
        // Whether the sixth is refused depends on what time does between two reads.
        setup.limits.calls_in_flight = usize::MAX;
        let world = setup.world();
        let mut client = world.connect();
        for read in reads {
            client.sends(read);
        }
        let own = client.id();
        while !world.shared.tasks.is_empty() {
            time::sleep(std::time::Duration::from_secs(1)).await;
        }
        lines(&client.wire.take())
            .iter()
            .map(|line| masked(line, &own))
            .collect()
    })
}

fn pieces<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// The length that an over-long line's error names is what had arrived when it was noticed.
fn without_length(line: &str) -> String {
    match line.split_once("(64 received/") {
        Some((before, rest)) => {
            let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}(64 received/?{behind}")
        }
        None => line.to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn replies_do_not_depend_on_how_the_bytes_arrive(
        version in version(),
        said in vec((line(), prop_oneof![Just("\n"), Just("\r"), Just("\r\n")]), 0..20),
        sizes in vec(1_usize..40, 1..8),
    ) {
        let bytes: String = said.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
        let whole = replies(version, &[bytes.as_bytes()]);
        let split = replies(version, &pieces(bytes.as_bytes(), &sizes));
        let whole: Vec<String> = whole.iter().map(|line| without_length(line)).collect();
        let split: Vec<String> = split.iter().map(|line| without_length(line)).collect();
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn every_reply_is_one_line_of_json(
        version in version(),
        noise in vec(vec(any::<u8>(), 0..30), 0..20),
        said in vec(line(), 0..20),
    ) {
        let mut bytes = Vec::new();
        for (index, line) in said.iter().enumerate() {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(noise.get(index).map_or(&[][..], |noise| noise));
        }
        bytes.push(b'\n');
        // `replies` has checked the line ends.
        for reply in replies(version, &[&bytes]) {
            let unmasked = reply.replace("<any>", "1").replace("<ms>", "2");
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&unmasked);
            prop_assert!(parsed.is_ok(), "{}", reply);
        }
    }

    #[test]
    fn numbers_are_those_of_the_lines(said in vec(line(), 0..40)) {
        let bytes = said.join("\n") + "\n";
        let count = said.iter().filter(|line| !line.is_empty()).count() as u64;
        // In v12 there is no bare room add; a failed file request is answered without its number.
        let mut found: Vec<u64> = replies(Version::V12, &[bytes.as_bytes()])
            .iter()
            .filter_map(|line| {
                let (_, number) = line.rsplit_once(r#","messageCount":"#)?;
                number.strip_suffix('}')?.parse().ok()
            })
            .collect();
        found.sort_unstable();
        let files: Vec<u64> = said
            .iter()
            .filter(|line| !line.is_empty())
            .zip(1..)
            .filter(|(line, _)| line.len() <= 64 && (*line == "file" || line.starts_with("file ")))
            .map(|(_, number)| number)
            .collect();
        found.extend(files);
        found.sort_unstable();
        prop_assert_eq!(found, (1..=count).collect::<Vec<u64>>());
    }
}
