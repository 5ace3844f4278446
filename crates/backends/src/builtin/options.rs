//! What differs between the versions of Actionhero whose clients a listener serves.

use crate::DocumentationShape;

/// Switches of the builtin actions. The default is the `classic` profile: Actionhero 12 with the cache's answer of its
/// documentation page, lengths not checked, and rooms to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltinOptions {
    /// `randomNumber` also answers a sentence with the number (`stringRandomNumber`, 13 and later).
    pub random_string: bool,
    /// What `cacheTest` tells of the entry it loads.
    pub cache_shape: CacheShape,
    /// What `cacheTest` demands of its inputs' length.
    pub length_rule: LengthRule,
    /// Whether inputs of `cacheTest` and `sleepTest` are converted before they are checked.
    pub text_inputs: TextInputs,
    /// The fields of `status`.
    pub status_shape: StatusShape,
    /// The version of Actionhero that `status` names.
    pub actionhero_version: String,
    /// Whether `showDocumentation` exists (gone in 21 and later).
    pub show_documentation: bool,
    /// How inputs, and with them the examples, are documented.
    pub documentation_shape: DocumentationShape,
    /// Whether `createChatRoom` exists (13 and later), and how it answers.
    pub create_chat_room: Option<RoomReply>,
    /// `createChatRoom` makes no room in a realm that has so many; clients could fill the memory with them.
    pub max_rooms: usize,
    /// Whether `validationTest` exists (18 and later).
    pub validation_test: bool,
}

/// What `cacheTest` tells of the entry it loads, beside `key`, `value` and `createdAt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheShape {
    /// `expireTimestamp`, and `readAt` with the time of this load: the documentation page, 6 to 8.
    #[default]
    ReadNow,
    /// `expireTimestamp`, and `readAt` with the time of the load before this one or `null`: 9 to 17.
    ReadAt,
    /// `expireTimestamp`, and `lastReadAt` with the time of the load before this one or `null`: 18 to 20.
    LastReadAt,
    /// Nothing: 21 and later.
    Plain,
}

/// What `cacheTest` demands of its inputs' length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LengthRule {
    /// Nothing.
    #[default]
    None,
    /// At least three letters of `value`: 11 to 17.
    Value,
    /// At least three letters of both: 18 and later.
    Both,
}

/// Whether inputs are converted before they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextInputs {
    /// Never: up to 10. A sleep that is no number takes its default.
    Untouched,
    /// All but `null`, which is missing.
    #[default]
    Converted,
    /// Also `null`, which becomes the text `null`: 11 and later.
    ConvertedWithNull,
}

/// The fields of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusShape {
    /// `id, uptime, stats, queues`: 9 and 10.
    Stats,
    /// `id, actionheroVersion, uptime`: 11 to 13.
    #[default]
    Short,
    /// Eleven fields that begin with `nodeStatus`: 14 to 20.
    Health,
    /// Ten fields that end with `nodeStatus` and `problems`: 21 and later.
    HealthLast,
}

/// How `createChatRoom` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomReply {
    /// `didCreate: 1`, or the error `room exists`: 18 to 20.
    Count,
    /// `name` and `didCreate: true` or `false`: 21 and later.
    Flag,
}

impl Default for BuiltinOptions {
    fn default() -> Self {
        Self::classic()
    }
}

impl BuiltinOptions {
    /// The profile that serves all clients at once.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            random_string: false,
            cache_shape: CacheShape::ReadNow,
            length_rule: LengthRule::None,
            text_inputs: TextInputs::Converted,
            status_shape: StatusShape::Short,
            actionhero_version: "12.5.0".to_owned(),
            show_documentation: true,
            documentation_shape: DocumentationShape::Keys,
            create_chat_room: Some(RoomReply::Count),
            max_rooms: 10_000,
            validation_test: false,
        }
    }

    /// Actionhero 9.4.1.
    #[must_use]
    pub fn v9() -> Self {
        Self {
            cache_shape: CacheShape::ReadAt,
            text_inputs: TextInputs::Untouched,
            status_shape: StatusShape::Stats,
            actionhero_version: "9.4.1".to_owned(),
            documentation_shape: DocumentationShape::Lists,
            create_chat_room: None,
            ..Self::classic()
        }
    }

    /// Actionhero 12.5.0.
    #[must_use]
    pub fn v12() -> Self {
        Self {
            cache_shape: CacheShape::ReadAt,
            length_rule: LengthRule::Value,
            text_inputs: TextInputs::ConvertedWithNull,
            create_chat_room: None,
            ..Self::classic()
        }
    }

    /// Actionhero 18.1.4.
    #[must_use]
    pub fn v18() -> Self {
        Self {
            random_string: true,
            cache_shape: CacheShape::LastReadAt,
            length_rule: LengthRule::Both,
            status_shape: StatusShape::Health,
            actionhero_version: "18.1.4".to_owned(),
            documentation_shape: DocumentationShape::KeysAndFunctions,
            create_chat_room: Some(RoomReply::Count),
            validation_test: true,
            ..Self::v12()
        }
    }

    /// Actionhero 20.0.0.
    #[must_use]
    pub fn v20() -> Self {
        Self {
            actionhero_version: "20.0.0".to_owned(),
            ..Self::v18()
        }
    }

    /// Actionhero 29.3.5.
    #[must_use]
    pub fn v29() -> Self {
        Self {
            cache_shape: CacheShape::Plain,
            status_shape: StatusShape::HealthLast,
            actionhero_version: "29.3.5".to_owned(),
            show_documentation: false,
            create_chat_room: Some(RoomReply::Flag),
            ..Self::v18()
        }
    }
}
