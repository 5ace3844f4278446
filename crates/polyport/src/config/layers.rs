//! The layers of the configuration and how they become one: file, environment, command line; later wins.
//!
//! figment merges the layers and feeds them to serde. serde stops at the first error; so that all are told at once, the
//! value at fault is taken out and the rest is read again.

use std::collections::BTreeSet;

use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    value::{Dict, Map, Value},
};
use serde::Deserialize;
use toml::de::ValueDeserializer;

use super::{
    locate::{Document, KeyPath, Part, find},
    report::{Place, Problem, describe},
    settings::Settings,
};

/// A layer: where it comes from, and its values.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    origin: Origin,
    values: Dict,
}

#[derive(Debug, Clone)]
enum Origin {
    File {
        name: String,
        built_in: bool,
        document: Document,
    },
    Text(TextSetting),
}

/// One setting given as text, by an environment variable or an option. What the text means depends on the setting:
/// `5000` may be a number or a room's name. So every reading is tried, the most literal last.
#[derive(Debug, Clone)]
struct TextSetting {
    place: Place,
    path: KeyPath,
    readings: Vec<Value>,
    /// The first reading's error, which is told if the others fail as well.
    refused: Option<Problem>,
}

impl Layer {
    pub(crate) fn file(name: &str, built_in: bool, document: Document) -> Self {
        Self {
            values: document.values().clone(),
            origin: Origin::File {
                name: name.to_owned(),
                built_in,
                document,
            },
        }
    }

    pub(crate) fn text(place: Place, path: KeyPath, text: &str) -> Self {
        let mut readings = readings(text);
        readings.reverse();
        let mut layer = Self {
            values: Dict::new(),
            origin: Origin::Text(TextSetting {
                place,
                path,
                readings,
                refused: None,
            }),
        };
        layer.next_reading();
        layer
    }

    /// Takes the next reading of a text; `false` if there is none.
    fn next_reading(&mut self) -> bool {
        let Origin::Text(setting) = &mut self.origin else {
            return false;
        };
        let Some(mut value) = setting.readings.pop() else {
            return false;
        };
        for key in setting.path.iter().rev() {
            value = Dict::from([(key.clone(), value)]).into();
        }
        if let Value::Dict(_, values) = value {
            self.values = values;
        }
        true
    }

    fn has(&self, path: &[String]) -> bool {
        find(&self.values, path).is_some() || find(&self.values, &as_one(path)).is_some()
    }

    fn place(&self, path: &[String], part: Part) -> Place {
        match &self.origin {
            Origin::File { name, document, .. } => Place::File {
                name: name.clone(),
                position: document
                    .position(path, part)
                    .or_else(|| document.position(&as_one(path), part))
                    .map(|at| (at.line, at.column)),
            },
            Origin::Text(setting) => setting.place.clone(),
        }
    }
}

/// Where one table may stand for a list of one, its values are written without the index 0.
fn as_one(path: &[String]) -> KeyPath {
    path.iter().filter(|key| *key != "0").cloned().collect()
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place(&[], Part::Value).to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// What a text may mean, the best first: TOML, the text itself, a list of its parts.
fn readings(text: &str) -> Vec<Value> {
    let literal = Value::from(text);
    let mut readings = Vec::new();
    if let Ok(value) =
        ValueDeserializer::parse(text).and_then(<Value as Deserialize<'_>>::deserialize)
    {
        readings.push(value);
    }
    if !matches!(readings.first(), Some(Value::String(..))) {
        readings.push(literal);
    }
    if !text.starts_with(['[', '{', '"', '\'']) {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        readings.push(parts.map(Value::from).collect::<Vec<_>>().into());
    }
    readings
}

/// All layers, lowest first. Knows who set what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers(Vec<Layer>);

impl Layers {
    pub(crate) fn push(&mut self, layer: Layer) {
        self.0.push(layer);
    }

    /// Who set the value at `path`.
    pub(crate) fn place(&self, path: &[String], part: Part) -> Place {
        self.setter(path)
            .map_or(Place::Default, |layer| layer.place(path, part))
    }

    /// The place of the value at `path` or, if nobody set it, of the nearest table around it.
    pub(crate) fn nearest_place(&self, path: &[String], part: Part) -> Place {
        if self.setter(path).is_some() {
            return self.place(path, part);
        }
        (1..path.len())
            .rev()
            .map(|depth| &path[..depth])
            .find(|around| self.setter(around).is_some())
            .map_or(Place::Default, |around| self.place(around, Part::Key))
    }

    /// Whether somebody asked for the value at `path`, other than the configuration that is built in.
    pub(crate) fn is_explicit(&self, path: &[String]) -> bool {
        self.setter(path)
            .is_some_and(|layer| !matches!(layer.origin, Origin::File { built_in: true, .. }))
    }

    fn setter(&self, path: &[String]) -> Option<&Layer> {
        self.0.iter().rev().find(|layer| layer.has(path))
    }

    /// Reads the settings. Values at fault are told and count as not set, and so do lists with an element at fault.
    pub(crate) fn read(&self) -> (Settings, Vec<Problem>) {
        let mut layers = self.clone();
        let mut problems = Vec::new();
        let mut gone = Gone::default();
        loop {
            let figment = layers
                .0
                .iter()
                .fold(Figment::new(), |figment, layer| figment.merge(layer));
            match figment.extract::<Settings>() {
                Ok(settings) if gone.0.is_empty() => return (settings, problems),
                // What is left of them stands at other places than it is written.
                Ok(_) => gone.take().iter().for_each(|list| layers.forget(list)),
                Err(error) => {
                    let problem = self.problem(&error.kind, &gone.written(&error.path));
                    if !layers.discard(&error.path, problem, &mut problems, &mut gone) {
                        return (Settings::default(), problems);
                    }
                }
            }
        }
    }

    fn problem(&self, kind: &Kind, path: &[String]) -> Problem {
        let (part, key) = match kind {
            Kind::UnknownField(..) => (Part::Key, path.join(".")),
            Kind::MissingField(name) => (Part::Value, format!("{}.{name}", path.join("."))),
            _ => (Part::Value, path.join(".")),
        };
        Problem {
            place: self.nearest_place(path, part),
            key,
            message: describe(kind, path),
        }
    }

    /// Takes the value at `path` out of the topmost layer that has it.
    fn forget(&mut self, path: &[String]) {
        let has_it = |layer: &&mut Layer| find(&layer.values, path).is_some();
        if let Some(layer) = self.0.iter_mut().rev().find(has_it) {
            remove(&mut layer.values, path);
        }
    }

    /// Takes the value at fault out of the topmost layer that has it, or takes a text's next reading. `false` if no
    /// layer has the value, so that another try would find the same.
    fn discard(
        &mut self,
        path: &[String],
        problem: Problem,
        problems: &mut Vec<Problem>,
        gone: &mut Gone,
    ) -> bool {
        let culprit = self
            .0
            .iter_mut()
            .rev()
            .find(|layer| find(&layer.values, path).is_some());
        let Some(layer) = culprit else {
            problems.push(problem);
            return false;
        };
        let Origin::Text(setting) = &mut layer.origin else {
            problems.push(problem);
            let removed = remove(&mut layer.values, path);
            if let Some(Removed::Element(depth)) = removed {
                gone.add(&path[..depth]);
            }
            return removed.is_some();
        };
        let first = setting.refused.get_or_insert(problem).clone();
        if !layer.next_reading() {
            problems.push(first);
            layer.values.clear();
        }
        true
    }
}

/// Elements that were taken out of lists: the path of the list, and the element's index as it is written.
#[derive(Debug, Default)]
struct Gone(Vec<(KeyPath, usize)>);

impl Gone {
    /// Adds the element at `path`, whose index counts those that are left.
    fn add(&mut self, path: &[String]) {
        let written = self.written(path);
        if let Some((index, list)) = written.split_last()
            && let Ok(index) = index.parse()
        {
            self.0.push((list.to_vec(), index));
            self.0.sort();
        }
    }

    /// The lists, each once; none is left here.
    fn take(&mut self) -> BTreeSet<KeyPath> {
        self.0.drain(..).map(|(list, _)| list).collect()
    }

    /// A path as it is written, from one in which lists have only what is left of them.
    fn written(&self, path: &[String]) -> KeyPath {
        let mut written = KeyPath::new();
        for key in path {
            let key = match key.parse::<usize>() {
                Ok(index) => self.index(&written, index).to_string(),
                Err(_) => key.clone(),
            };
            written.push(key);
        }
        written
    }

    fn index(&self, list: &[String], left: usize) -> usize {
        let of_list = self.0.iter().filter(|(other, _)| other == list);
        of_list.fold(left, |index, (_, gone)| index + usize::from(*gone <= index))
    }
}

/// What [`remove`] has removed: the value, or the element of a list that it is in, whose path has so many keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removed {
    Value,
    Element(usize),
}

/// Removes the value at `path`, or the first list's element on the way there.
fn remove(values: &mut Dict, path: &[String]) -> Option<Removed> {
    let (first, rest) = path.split_first()?;
    match values.get_mut(first)? {
        Value::Dict(_, table) if !rest.is_empty() => match remove(table, rest)? {
            Removed::Value => Some(Removed::Value),
            Removed::Element(depth) => Some(Removed::Element(depth + 1)),
        },
        Value::Array(_, list) if !rest.is_empty() => {
            let index = rest[0].parse().ok().filter(|index| *index < list.len())?;
            list.remove(index);
            Some(Removed::Element(2))
        }
        _ => values.remove(first).map(|_| Removed::Value),
    }
}
