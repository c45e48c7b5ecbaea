//! JSON Schemas of payloads, whatever their fields are.
//!
//! A program whose types have no schema must still compile with the feature. So the type of each field
//! stands behind [`FieldSchema`], which always has a schema. A field whose own type has none is marked, and
//! `tasks --lock` reports it.

use std::any::type_name;
use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::Value;

/// Marks what has no schema, with the name of its type.
pub(crate) const UNKNOWN: &str = "x-taskq-unknown";

/// Holds the further names that a property is read under. schemars does not write serde's aliases.
pub(crate) const ALIASES: &str = "x-taskq-alias";

/// Asks whether `T` has a schema. The inherent items are found if it does, those of [`NoSchema`] if not.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

impl<T> Probe<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: JsonSchema> Probe<T> {
    /// Tells that it has.
    pub const HAS_SCHEMA: bool = true;

    /// Returns it, with each field's aliases.
    pub fn schema(aliases: &[(&str, &[&str])]) -> Option<Schema> {
        let mut schema = schema_for!(T);
        add_aliases(&mut schema, aliases);
        Some(schema)
    }

    /// Returns the schema of a type that is known by a value alone.
    pub fn inferred(self) -> Option<Schema> {
        Some(schema_for!(T))
    }
}

/// What [`Probe`] says of a type without a schema.
pub trait NoSchema {
    /// Tells that it has none.
    const HAS_SCHEMA: bool = false;

    /// Returns none.
    fn schema(_aliases: &[(&str, &[&str])]) -> Option<Schema> {
        None
    }

    /// Returns none.
    fn inferred(self) -> Option<Schema>
    where
        Self: Sized,
    {
        None
    }
}

impl<T> NoSchema for Probe<T> {}

/// Describes a field of the type `T`, with or without a schema.
#[derive(Debug)]
pub struct FieldSchema<const HAS_SCHEMA: bool, T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for FieldSchema<true, T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    // A field that may be left out is not required. schemars asks this way, and no other.
    fn _schemars_private_is_option() -> bool {
        T::_schemars_private_is_option()
    }
}

impl<T> JsonSchema for FieldSchema<false, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Unknown".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ (UNKNOWN): type_name::<T>() })
    }
}

/// What code of schemars' derive takes to be in scope, where the user may have it otherwise.
pub mod prelude {
    pub use std::option::Option::Some;

    /// Traits, without their names.
    pub mod traits {
        pub use std::convert::Into as _;
        pub use std::default::Default as _;

        pub use super::super::NoSchema as _;
    }
}

fn add_aliases(schema: &mut Schema, aliases: &[(&str, &[&str])]) {
    let properties = schema
        .as_object_mut()
        .and_then(|schema| schema.get_mut("properties"));
    let Some(Value::Object(properties)) = properties else {
        return;
    };
    for (field, aliases) in aliases {
        let name = properties.keys().find(|name| same_field(name, field));
        let Some(name) = name.cloned() else { continue };
        let property = &mut properties[&name];
        if let Value::Bool(true) = property {
            *property = Value::Object(serde_json::Map::new());
        }
        if let Value::Object(property) = property {
            property.insert(ALIASES.into(), (*aliases).into());
        }
    }
}

/// Tells whether a property is the field of this name, as `rename_all` may have written it.
fn same_field(property: &str, field: &str) -> bool {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    property == field || plain(property) == plain(field)
}
