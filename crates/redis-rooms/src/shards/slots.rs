//! Which node of a Cluster has which slot.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::Arc,
};

use parking_lot::Mutex;
use redis::{RedisError, Value, cluster_routing::Slot};

/// The addresses of primaries, `HOST:PORT`, by their slots.
#[derive(Debug)]
pub(crate) struct Slots(Mutex<HashMap<Slot, Arc<str>>>);

impl Slots {
    /// Reads what a node says to `CLUSTER SLOTS`. Nodes without an address of their own are on the `host` that was asked.
    pub(crate) fn read(answer: &Value, host: &str) -> Self {
        let ranges = list(answer)
            .iter()
            .filter_map(|range| read_range(range, host));
        let slots = ranges.flat_map(|(slots, address)| {
            let slots = slots.filter_map(Slot::new);
            slots.map(move |slot| (slot, Arc::clone(&address)))
        });
        Self(Mutex::new(slots.collect()))
    }

    /// The node that has a channel.
    pub(crate) fn owner(&self, channel: &str) -> Option<Arc<str>> {
        self.0.lock().get(&Slot::for_key(channel)).cloned()
    }

    /// All nodes that have slots.
    pub(crate) fn nodes(&self) -> HashSet<Arc<str>> {
        self.0.lock().values().cloned().collect()
    }

    /// Takes over from the error of a node that it has not a slot; whether that was the error.
    pub(crate) fn learn(&self, error: &RedisError, asked: &str) -> bool {
        let Some((address, slot)) = error.redirect_node() else {
            return false;
        };
        let Some(slot) = Slot::new(slot) else {
            return false;
        };
        let address = match (address.strip_prefix(':'), asked.rsplit_once(':')) {
            (Some(port), Some((host, _))) => format!("{host}:{port}").into(),
            _ => Arc::from(address),
        };
        self.0.lock().insert(slot, address);
        true
    }
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        _ => &[],
    }
}

/// First slot, last slot, the primary, its replicas.
fn read_range(range: &Value, host: &str) -> Option<(RangeInclusive<u16>, Arc<str>)> {
    let [Value::Int(first), Value::Int(last), primary, ..] = list(range) else {
        return None;
    };
    let [name, Value::Int(port), ..] = list(primary) else {
        return None;
    };
    let host = match name {
        Value::BulkString(name) if !name.is_empty() && name != b"?" => {
            std::str::from_utf8(name).ok()?
        }
        _ => host,
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    Some((first..=last, format!("{host}:{port}").into()))
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, ServerErrorKind};

    use super::*;

    fn node(host: Value, port: i64) -> Value {
        let id = Value::BulkString(b"id".to_vec());
        Value::Array(vec![host, Value::Int(port), id])
    }

    fn range(first: i64, last: i64, primary: Value) -> Value {
        let replica = node(Value::BulkString(b"10.0.0.9".to_vec()), 7009);
        Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
    }

    fn slots() -> Slots {
        let named = Value::BulkString(b"10.0.0.1".to_vec());
        let answer = Value::Array(vec![
            range(0, 8191, node(named, 7001)),
            range(8192, 16382, node(Value::Nil, 7002)),
            Value::Nil,
            range(-1, 70_000, node(Value::Nil, 7003)),
        ]);
        Slots::read(&answer, "10.0.0.2")
    }

    fn moved(detail: &str) -> RedisError {
        let kind = ErrorKind::Server(ServerErrorKind::Moved);
        (kind, "moved", detail.to_owned()).into()
    }

    #[test]
    fn the_answer_of_a_node_is_read() {
        let slots = slots();
        // The slots of these names are 12739, 12182 and 5061.
        let owner = |channel| slots.owner(channel).map(|owner| owner.to_string());
        assert_eq!(owner("123456789").as_deref(), Some("10.0.0.2:7002"));
        assert_eq!(owner("foo").as_deref(), Some("10.0.0.2:7002"));
        assert_eq!(owner("bar").as_deref(), Some("10.0.0.1:7001"));
        let nodes = HashSet::from(["10.0.0.1:7001", "10.0.0.2:7002"].map(Arc::from));
        assert_eq!(slots.nodes(), nodes);
        assert!(Slots::read(&Value::Nil, "h").nodes().is_empty());
    }

    #[test]
    fn a_slot_that_has_moved_is_known() {
        let slots = slots();
        let owner = || slots.owner("123456789").unwrap().to_string();
        assert!(slots.learn(&moved("12739 10.0.0.3:7003"), "10.0.0.2:7002"));
        assert_eq!(owner(), "10.0.0.3:7003");
        assert!(slots.learn(&moved("12739 :7004"), "10.0.0.3:7003"));
        assert_eq!(owner(), "10.0.0.3:7004", "on the same host");
        assert!(slots.learn(&moved("12739 ::1:7004"), "10.0.0.3:7003"));
        assert!(!slots.learn(&moved("99999 h:1"), "h:2"));
        let other = RedisError::from((ErrorKind::Io, "gone"));
        assert!(!slots.learn(&other, "h:2"));
    }
}
