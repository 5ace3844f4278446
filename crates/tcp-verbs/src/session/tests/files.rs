//! Files (section 11 of the protocol page).

use std::fs;

use tempfile::TempDir;

use super::world::{Client, Setup, Version};
use crate::PublicFolders;

/// A folder with files, and a client of a listener that shares its folder `public`.
struct Shop {
    _folder: TempDir,
    client: Client,
}

impl Shop {
    fn open(version: Version) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let public = folder.path().join("public");
        fs::create_dir_all(public.join("docs")).unwrap();
        fs::write(public.join("simple.txt"), "hello\nfile").unwrap();
        fs::write(public.join("other.txt"), "other").unwrap();
        fs::write(public.join("empty.txt"), "").unwrap();
        fs::write(public.join("two words"), "named by JSON").unwrap();
        fs::write(public.join("docs/index.html"), "<html>").unwrap();
        fs::write(public.join("big.bin"), big()).unwrap();
        fs::write(folder.path().join("outside.txt"), "secret").unwrap();
        let mut setup = Setup::new(version);
        setup.options.folders = PublicFolders::new(vec![public]);
        Self {
            client: setup.world().connect(),
            _folder: folder,
        }
    }

    /// Everything that comes back for one write.
    fn reply(&mut self, write: &str) -> Vec<u8> {
        self.client.sends(write);
        self.client.settle();
        self.client.wire.take()
    }

    #[track_caller]
    fn check(&mut self, write: &str, expected: &str) {
        let reply = self.reply(write);
        assert_eq!(String::from_utf8_lossy(&reply), expected, "{write:?}");
    }
}

fn big() -> Vec<u8> {
    (0..200_000_u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_file_is_its_bytes_and_nothing_else() {
    for version in Version::ALL {
        let mut shop = Shop::open(version);
        shop.check("file simple.txt\r\n", "hello\nfile");
        shop.check("file\r\n", "hello\nfile");
        shop.check("file \r\n", "hello\nfile");
        shop.check("file other.txt simple.txt\r\n", "other");
        shop.check("file /simple.txt\r\n", "hello\nfile");
        shop.check("file docs\r\n", "<html>");
        shop.check("file empty.txt\r\n", "");
        assert_eq!(shop.reply("file big.bin\r\n"), big());
    }
}

#[test]
fn a_file_that_cannot_be_had_in_the_words_of_each_version() {
    for version in Version::ALL {
        let mut shop = Shop::open(version);
        let lines = [
            "file",
            "file missing.txt",
            "file ../outside.txt",
            "file docs/../../outside.txt",
            "file /outside.txt",
            "file .",
            "file docs/\0",
            "file",
        ];
        for (line, count) in lines.iter().zip(1..) {
            let expected = match version {
                Version::Classic => format!(
                    r#"{{"error":"Sorry, that file is not found :(","context":"response","messageCount":{count}}}"#
                ),
                Version::V9 | Version::V12 => r#""Sorry, that file is not found :(""#.to_owned(),
                Version::V18 | Version::V20 => r#""That file is not found""#.to_owned(),
                Version::V29 => r#""that file is not found""#.to_owned(),
            };
            shop.check(&format!("{line}\n"), &format!("{expected}\r\n"));
        }
    }
}

#[test]
fn the_name_is_a_sticky_param() {
    let mut shop = Shop::open(Version::Classic);
    shop.reply("file simple.txt\nfile missing.txt\n");
    shop.check(
        "paramsView\n",
        "{\"status\":\"OK\",\"context\":\"response\",\"data\":{\"file\":\"missing.txt\"},\"messageCount\":3}\r\n",
    );
    shop.reply("paramAdd file=other.txt\n");
    shop.check("file\n", "other");
    shop.reply("{\"params\":{\"file\":\"two words\"}}\n");
    shop.check("file\n", "named by JSON");
    let not_a_name = "{\"params\":{\"file\":{\"a\":1}}}\nfile\n";
    let reply = String::from_utf8(shop.reply(not_a_name)).unwrap();
    assert!(
        reply.ends_with("{\"error\":\"Sorry, that file is not found :(\",\"context\":\"response\",\"messageCount\":9}\r\n"),
        "{reply}"
    );
}

#[test]
fn files_go_out_whole_and_in_the_order_in_which_they_were_asked_for() {
    let mut shop = Shop::open(Version::Classic);
    let written = shop
        .reply("file big.bin\nparamsDelete\nfile simple.txt\nfile big.bin\nfile missing\nsay\n");
    let mut expected = big();
    expected.extend_from_slice(
        b"{\"status\":\"OK\",\"context\":\"response\",\"data\":null,\"messageCount\":2}\r\nhello\nfile",
    );
    expected.extend_from_slice(&big());
    expected.extend_from_slice(
        b"{\"error\":\"Sorry, that file is not found :(\",\"context\":\"response\",\"messageCount\":5}\r\n\
          {\"status\":\"both room and message are required\",\"context\":\"response\",\"messageCount\":6}\r\n",
    );
    assert!(written == expected, "{} bytes", written.len());
}

#[test]
fn what_others_say_waits_for_the_end_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("big.bin"), big()).unwrap();
    let mut setup = Setup::new(Version::Classic);
    setup.options.folders = PublicFolders::new(vec![folder.path().to_owned()]);
    let world = setup.world();
    let [mut reader, mut speaker] = [world.connect(), world.connect()];
    for client in [&mut reader, &mut speaker] {
        client.sends("roomAdd defaultRoom\n");
        client.hears();
    }
    reader.wire.block(true);
    reader.sends("file big.bin\n");
    speaker.sends("say defaultRoom hello\n");
    reader.sends("quit\n");
    reader.wire.block(false);
    reader.settle();
    let written = reader.wire.take();
    let (file, rest) = written.split_at(200_000);
    assert!(file == big());
    let rest = super::world::lines(rest);
    assert_eq!(rest.len(), 2);
    assert!(rest[0].starts_with(r#"{"message":"hello","#));
    assert_eq!(rest[1], super::GOODBYE);
}

#[test]
fn a_file_that_is_asked_for_is_no_action_and_waits_for_none() {
    let mut shop = Shop::open(Version::Classic);
    shop.reply("file simple.txt\nfile missing\n");
    let details = String::from_utf8(shop.reply("detailsView\n")).unwrap();
    assert!(
        details.contains(r#""params":{"file":"missing"}"#),
        "{details}"
    );
    assert!(
        details.contains(r#""totalActions":0,"pendingActions":0"#),
        "{details}"
    );
}
