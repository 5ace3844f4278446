//! `docs/operations.md` describes every metric family with its labels and its label values, and none that does not exist.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use polyport_admin::{AdminState, ApiOptions, Readiness};
use polyport_core::{
    Dialect, Event, Frame, Hub, Limits, ListenerConfig, Permissions, RealmName, RoomName,
};

#[test]
fn every_family_is_described_with_its_labels() {
    let exposed: BTreeMap<String, BTreeSet<String>> = exposition()
        .families
        .into_iter()
        .map(|(family, labels)| (family, labels.into_keys().collect()))
        .collect();
    assert_eq!(described(&page()), exposed);
}

#[test]
fn every_value_of_a_fixed_list_is_explained() {
    let page = page();
    for (family, labels) in exposition().families {
        for (label, values) in labels {
            if !matches!(
                label.as_str(),
                "reason" | "outcome" | "limit" | "cause" | "request"
            ) {
                continue;
            }
            for value in values {
                assert!(page.contains(&format!("`{value}`")), "{family}: {value}");
            }
        }
    }
}

#[derive(Debug, Default)]
struct Exposition {
    /// Family, label, values.
    families: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// What the admin listener of a gateway with one listener exposes.
fn exposition() -> Exposition {
    struct Silent;
    impl Dialect for Silent {
        fn protocol(&self) -> &'static str {
            "silent"
        }
        fn encode(&self, _: &Event) -> Frame {
            Frame::new()
        }
    }
    let hub = Hub::new(0, None);
    let _backplane = hub.metrics().backplane();
    let _traces = (hub.metrics().traces(), hub.metrics().log_suppressed());
    let listener = hub.listener(ListenerConfig {
        name: "one".to_owned(),
        protocol: "silent",
        realm: RealmName::new("default").unwrap(),
        dialect: Arc::new(Silent),
        join: vec![RoomName::new("lobby").unwrap()],
        rooms: Vec::new(),
        limits: Limits::default(),
        permissions: Permissions::default(),
    });
    listener.metrics().certificate_ends(Some(1));
    let _backend = hub.metrics().backend("app");
    hub.metrics().script_counter("app", "claps").inc();
    let state = AdminState::new(Arc::clone(&hub), Arc::new(Readiness::default()), "0");
    let _state = state.with_api(ApiOptions::default());
    let mut exposition = Exposition::default();
    for family in hub.metrics().registry().gather() {
        let labels = exposition
            .families
            .entry(family.name().to_owned())
            .or_default();
        for label in family.get_metric().iter().flat_map(|one| one.get_label()) {
            labels
                .entry(label.name().to_owned())
                .or_default()
                .insert(label.value().to_owned());
        }
    }
    exposition
}

/// Families and labels in the page's tables of metrics.
fn described(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    page.split("| family | labels | means |\n|---|---|---|\n")
        .skip(1)
        .flat_map(|table| table.lines().take_while(|line| line.starts_with('|')))
        .map(|row| {
            let mut cells = row.split('|').skip(1);
            let family = in_backticks(cells.next().unwrap()).next().unwrap();
            (family, in_backticks(cells.next().unwrap()).collect())
        })
        .collect()
}

fn in_backticks(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    fs::read_to_string(path).unwrap()
}
