//! Pairs of payloads, and what their difference would strand.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};

use super::*;
use crate::json::schema::ALIASES;

macro_rules! form {
    ($(#[$attribute:meta])* { $($fields:tt)* }) => {{
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        $(#[$attribute])*
        struct Payload { $($fields)* }
        schema_for!(Payload).to_value()
    }};
}

fn broken(before: &Value, after: &Value) -> Vec<String> {
    let violations = compare("mail", before, after);
    let name = |violation: Violation| {
        let rule = match violation.rule {
            Rule::FieldRemoved => "removed".into(),
            Rule::FieldRequired => "required".into(),
            Rule::TypeChanged { from, to } => format!("{from} -> {to}"),
            Rule::Narrowed(what) => what,
            other => format!("{other:?}"),
        };
        format!("{}: {rule}", violation.path)
    };
    violations.into_iter().map(name).collect()
}

#[track_caller]
fn strands(before: Value, after: Value, rules: &[&str]) {
    assert_eq!(broken(&before, &after), rules, "\n{before:#}\n{after:#}");
}

#[track_caller]
fn harmless(before: Value, after: Value) {
    strands(before, after, &[]);
}

fn aliased(mut schema: Value, field: &str, alias: &str) -> Value {
    schema["properties"][field][ALIASES] = serde_json::json!([alias]);
    schema
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Address {
    street: String,
}

#[test]
fn nothing_changed() {
    let form = || form!({ id: i64, to: Vec<Address>, tags: BTreeMap<String, u8>, at: (i32, f64) });
    harmless(form(), form());
}

#[test]
fn a_field_removed() {
    strands(
        form!({ id: i64, to: String }),
        form!({ id: i64 }),
        &["to: removed"],
    );
}

#[test]
fn a_field_renamed_without_an_alias() {
    let rules = ["usr: removed", "usr_id: required"];
    strands(form!({ usr: i64 }), form!({ usr_id: i64 }), &rules);
}

#[test]
fn a_field_renamed_with_an_alias() {
    harmless(
        form!({ usr: i64 }),
        aliased(form!({ usr_id: i64 }), "usr_id", "usr"),
    );
}

#[test]
fn a_field_renamed_with_an_alias_and_of_another_type() {
    let after = aliased(form!({ usr_id: String }), "usr_id", "usr");
    strands(
        form!({ usr: i64 }),
        after,
        &["usr: integer (int64) -> string"],
    );
}

#[test]
fn a_new_field_that_is_required() {
    strands(
        form!({ id: i64 }),
        form!({ id: i64, to: String }),
        &["to: required"],
    );
}

#[test]
fn a_new_field_that_is_not_required() {
    harmless(form!({ id: i64 }), form!({ id: i64, to: Option<String> }));
    harmless(
        form!({ id: i64 }),
        form!({ id: i64, #[serde(default)] to: String }),
    );
}

#[test]
fn a_field_made_required() {
    let rules = ["to: string or null -> string", "to: required"];
    let after = form!({ to: String });
    let found = broken(&form!({ to: Option<String> }), &after);
    assert_eq!(found.len(), rules.len(), "{found:?}");
    assert!(found[1].ends_with(": required"), "{found:?}");
    strands(
        form!({ #[serde(default)] to: String }),
        after,
        &["to: required"],
    );
}

#[test]
fn a_field_made_optional() {
    harmless(form!({ to: String }), form!({ to: Option<String> }));
    harmless(form!({ to: Address }), form!({ to: Option<Address> }));
    harmless(
        form!({ to: String }),
        form!({ #[serde(default)] to: String }),
    );
}

#[test]
fn a_type_changed() {
    let after = form!({ id: String });
    strands(
        form!({ id: i64 }),
        after,
        &["id: integer (int64) -> string"],
    );
    strands(
        form!({ id: Vec<i64> }),
        form!({ id: i64 }),
        &["id: array -> integer (int64)"],
    );
    strands(
        form!({ id: f64 }),
        form!({ id: i64 }),
        &["id: number (double) -> integer (int64)"],
    );
}

#[test]
fn a_smaller_number() {
    let rules = ["id: must be within -2147483648 to 2147483647"];
    strands(form!({ id: i64 }), form!({ id: i32 }), &rules);
    strands(
        form!({ id: u8 }),
        form!({ id: i8 }),
        &["id: must be within -128 to 127"],
    );
    strands(
        form!({ id: i64 }),
        form!({ id: u64 }),
        &["id: must be within 0 to 18446744073709552000"],
    );
}

#[test]
fn a_larger_number() {
    harmless(form!({ id: i32 }), form!({ id: i64 }));
    harmless(form!({ id: u32 }), form!({ id: i64 }));
    harmless(form!({ id: i32 }), form!({ id: f64 }));
    harmless(form!({ id: f32 }), form!({ id: f64 }));
}

#[test]
fn a_format_asked_for() {
    let mail = form!({ #[schemars(extend("format" = "email"))] to: String });
    strands(
        form!({ to: String }),
        mail.clone(),
        &["to: string -> string (email)"],
    );
    harmless(mail, form!({ to: String }));
}

#[test]
fn limits() {
    let short = form!({ #[schemars(length(max = 3))] to: String });
    let pattern = form!({ #[schemars(regex(pattern = "^a"))] to: String });
    strands(
        form!({ to: String }),
        short.clone(),
        &["to: must have at most 3 (`maxLength`)"],
    );
    strands(
        form!({ to: String }),
        pattern.clone(),
        &["to: must fit `pattern`, \"^a\""],
    );
    harmless(short, form!({ to: String }));
    harmless(pattern, form!({ to: String }));
}

#[test]
fn what_is_inside_of_a_type() {
    let before = form!({ to: Option<Vec<Address>> });
    let after = {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Address {
            street: String,
            town: String,
        }
        form!({ to: Option<Vec<Address>> })
    };
    strands(before, after, &["to[].town: required"]);
}

#[test]
fn a_type_with_another_name_of_the_same_form() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Place {
        street: String,
    }
    harmless(form!({ to: Address }), form!({ to: Place }));
}

#[test]
fn a_map() {
    let after = form!({ tags: BTreeMap<String, String> });
    strands(
        form!({ tags: BTreeMap<String, i64> }),
        after,
        &["tags{}: integer (int64) -> string"],
    );
    harmless(
        form!({ tags: Address }),
        form!({ tags: BTreeMap<String, String> }),
    );
}

#[test]
fn a_tuple() {
    let after = form!({ at: (i64, i64) });
    strands(
        form!({ at: (i64, String) }),
        after,
        &["at[1]: string -> integer (int64)"],
    );
    let longer = broken(&form!({ at: (i64, i64) }), &form!({ at: (i64, i64, i64) }));
    assert!(!longer.is_empty());
}

#[test]
fn fields_that_must_be_known() {
    let strict = form!(#[serde(deny_unknown_fields)] { id: i64 });
    strands(
        form!({ id: i64, to: String }),
        strict.clone(),
        &["to: removed"],
    );
    harmless(form!({ id: i64 }), strict);
}

macro_rules! variants {
    ($(#[$attribute:meta])* { $($variants:tt)* }) => {{
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        $(#[$attribute])*
        enum What { $($variants)* }
        form!({ what: What })
    }};
}

#[test]
fn a_variant_more_or_less() {
    let (few, many) = (variants!({ A, B }), variants!({ A, B, C }));
    harmless(few.clone(), many.clone());
    strands(many, few, &["what: may no longer be `C`"]);
    let few = variants!({ A(i64), B { x: i64 } });
    let many = variants!({ A(i64), B { x: i64 }, C(String), D });
    harmless(few.clone(), many.clone());
    strands(
        many,
        few,
        &["what: may no longer be `D`", "what: may no longer be `C`"],
    );
}

#[test]
fn a_variant_changed() {
    let after = variants!({ A(String), B { x: i64, y: i64 } });
    let rules = ["what.A: integer (int64) -> string", "what.B.y: required"];
    strands(variants!({ A(i64), B { x: i64 } }), after, &rules);
}

#[test]
fn variants_with_a_tag_among_the_fields() {
    let before = variants!(#[serde(tag = "kind")] { A { x: i64 }, B { x: i64 }, C });
    let after = variants!(#[serde(tag = "kind")] { A { x: i64 }, B { x: String } });
    strands(
        before,
        after,
        &[
            "what: may no longer be `kind: C`",
            "what.x: integer (int64) -> string",
        ],
    );
}

#[test]
fn forms_without_a_tag() {
    let one = form!({ id: i64 });
    let both = variants!(#[serde(untagged)] { A(i64), B(String) });
    let both = {
        let mut both = both;
        let what = both["properties"]["what"].take();
        both["properties"] = serde_json::json!({ "id": what });
        both["required"] = serde_json::json!(["id"]);
        both
    };
    harmless(one.clone(), both.clone());
    strands(both, one, &["id: string -> integer (int64)"]);
}

#[test]
fn fields_of_a_struct_that_is_flattened() {
    let before = form!({ id: i64, #[serde(flatten)] to: Address });
    harmless(before.clone(), form!({ id: i64, street: String }));
    strands(before, form!({ id: i64 }), &["street: removed"]);
}

#[test]
fn a_type_that_holds_itself() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Tree {
        name: String,
        children: Vec<Tree>,
    }
    let before = schema_for!(Tree);
    harmless(before.clone().to_value(), before.clone().to_value());
    let mut after: Schema = before.clone();
    after.insert(
        "required".into(),
        serde_json::json!(["name", "children", "age"]),
    );
    assert_eq!(
        broken(&before.to_value(), after.as_value()),
        ["age: required", "children[].age: required"]
    );
}

#[test]
fn a_keyword_that_is_not_understood() {
    let odd = form!({ #[schemars(extend("not" = {"const": 3}))] id: i64 });
    strands(
        form!({ id: i64 }),
        odd.clone(),
        &["id: must fit `not`, {\"const\":3}"],
    );
    harmless(odd, form!({ id: i64 }));
}

#[test]
fn words_about_a_field() {
    let after = form!({
        /// Who.
        #[schemars(title = "User", example = 7)]
        #[deprecated]
        id: i64
    });
    harmless(form!({ id: i64 }), after);
}
