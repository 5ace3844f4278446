//! The named values a session carries along with its calls.

use crate::Json;

/// Named JSON values in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    entries: Vec<(Box<str>, Json)>,
    /// Bytes of all names and values.
    bytes: usize,
}

/// A value was not stored: the session has as many params, or as many bytes of them, as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many params")]
pub struct ParamsFull;

impl Params {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.entries
            .iter()
            .find(|(key, _)| &**key == name)
            .map(|(_, value)| value)
    }

    /// Sets `name`, in place if it is there already, else at the end.
    pub fn set(&mut self, name: &str, value: Json) {
        self.bytes += value.len();
        match self.entries.iter_mut().find(|(key, _)| &**key == name) {
            Some((_, old)) => {
                self.bytes -= old.len();
                *old = value;
            }
            None => {
                self.bytes += name.len();
                self.entries.push((name.into(), value));
            }
        }
    }

    /// Sets `name` unless the set would then hold more than `count` values or `bytes` bytes of names and values.
    ///
    /// # Errors
    /// [`ParamsFull`]; the set is unchanged.
    pub fn set_within(
        &mut self,
        name: &str,
        value: Json,
        count: usize,
        bytes: usize,
    ) -> Result<(), ParamsFull> {
        let replaced = self.get(name).map(|old| name.len() + old.len());
        let new_count = self.entries.len() + usize::from(replaced.is_none());
        let new_bytes = self.bytes() - replaced.unwrap_or(0) + name.len() + value.len();
        if new_count > count || new_bytes > bytes {
            return Err(ParamsFull);
        }
        self.set(name, value);
        Ok(())
    }

    /// Removes `name`; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(index) = self.entries.iter().position(|(key, _)| &**key == name) else {
            return false;
        };
        let (key, value) = self.entries.remove(index);
        self.bytes -= key.len() + value.len();
        true
    }

    /// Removes everything and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl serde::Serialize for Params {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_first_setting() {
        let mut params = Params::default();
        params.set("action", Json::string("a"));
        params.set("key", Json::string("k"));
        params.set("action", Json::string("b"));
        assert_eq!(
            Json::encode(&params).as_str(),
            r#"{"action":"b","key":"k"}"#
        );
    }

    #[test]
    fn bounds_hold_for_count_and_bytes() {
        let mut params = Params::default();
        params.set_within("a", Json::NULL, 2, 100).unwrap();
        params.set_within("b", Json::NULL, 2, 100).unwrap();
        assert_eq!(params.set_within("c", Json::NULL, 2, 100), Err(ParamsFull));
        params.set_within("b", Json::string("x"), 2, 100).unwrap();
        let long = Json::string(&"x".repeat(100));
        assert_eq!(params.set_within("b", long, 2, 100), Err(ParamsFull));
        assert_eq!(params.get("b"), Some(&Json::string("x")));
    }
}
