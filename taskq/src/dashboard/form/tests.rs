//! Forms of schemas, and what they make.

use serde_json::json;

use super::*;

fn form() -> Form {
    let schema = json!({
        "type": "object",
        "properties": {
            "id": {"type": "integer", "format": "int64"},
            "name": {"type": "string", "description": "As on the card"},
            "note": {"type": ["string", "null"]},
            "urgent": {"type": "boolean", "default": false},
            "colour": {"anyOf": [{"$ref": "#/$defs/Colour"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "size": {"oneOf": [{"const": "s", "description": "small"}, {"const": "l"}]},
            "token": {"type": "string"},
        },
        "required": ["id", "name", "size"],
        "$defs": {"Colour": {"type": "string", "enum": ["red", "green"]}},
    });
    Form::of(&schema, &["token"]).expect("an object")
}

fn typed(pairs: &[(&str, &str)]) -> Form {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), *value));
    let text = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    form().typed(&Parameters::read(text.as_bytes()).expect("few"))
}

fn field<'a>(form: &'a Form, name: &str) -> &'a Field {
    form.fields.iter().find(|it| it.name == name).expect(name)
}

#[test]
fn each_property_has_the_control_of_its_type() {
    let form = form();
    let names: Vec<&str> = form.fields.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names[..3],
        ["id", "name", "size"],
        "what is required is first"
    );
    assert_eq!(field(&form, "id").control, Control::Number);
    assert_eq!(field(&form, "id").hint, "a whole number");
    assert_eq!(field(&form, "name").hint, "As on the card");
    assert_eq!(field(&form, "tags").control, Control::Json);
    assert_eq!(field(&form, "urgent").hint, "otherwise false");
    assert!(field(&form, "token").is_secret);
    let labels = |name| match &field(&form, name).control {
        Control::Choice(choices) => choices
            .iter()
            .map(|it| it.label.clone())
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(labels("colour"), ["red", "green"]);
    assert_eq!(labels("size"), ["s", "l"]);
    assert_eq!(labels("urgent"), ["false", "true"]);
}

#[test]
fn fields_make_the_payload_with_every_digit() {
    let mut form = typed(&[
        ("id", " 9007199254740993 "),
        ("name", " Ada \"A\" "),
        ("size", "\"l\""),
        ("tags", "[\"a\", 1.50]"),
        ("colour", ""),
    ]);
    let payload = form.payload().expect("a payload");
    assert_eq!(
        payload.get(),
        r#"{"colour":null,"id":9007199254740993,"name":" Ada \"A\" ","note":null,"size":"l","tags":["a", 1.50]}"#
    );
    let again = super::tests::form()
        .filled(payload.get())
        .expect("all have a place");
    assert_eq!(field(&again, "name").value, " Ada \"A\" ");
    assert_eq!(field(&again, "id").value, "9007199254740993");
}

#[test]
fn what_is_wrong_stands_at_its_field_and_what_was_typed_stays() {
    let mut form = typed(&[("id", "seven"), ("size", "\"xl\""), ("tags", "[1")]);
    assert!(form.payload().is_none());
    let error = |name| field(&form, name).error.clone().unwrap_or_default();
    assert_eq!(error("id"), "`seven` is no number");
    assert_eq!(error("size"), "`\"xl\"` is none of its values");
    assert!(
        error("tags").starts_with("it is no JSON: "),
        "{}",
        error("tags")
    );
    assert_eq!(error("name"), "", "an empty name is a name");
    assert_eq!(field(&form, "tags").value, "[1");
    assert!(form.blame("colour.shade[1]", "too dark"));
    assert_eq!(field(&form, "colour").error.as_deref(), Some("too dark"));
    assert!(!form.blame(".", "all of it"));
    let mut form = typed(&[("name", "")]);
    assert!(form.payload().is_none());
    assert_eq!(
        field(&form, "id").error.as_deref(),
        Some("it has to be there")
    );
}

#[test]
fn a_payload_that_fields_cannot_show_is_left_to_the_raw_mode() {
    let fits = |payload: &str| form().filled(payload).is_some();
    assert!(fits(r#"{"id": 1, "name": "", "size": "s", "note": null}"#));
    for payload in [
        r#"{"id": 1, "unknown": 2}"#,
        r#"{"id": "one"}"#,
        r#"{"size": "xl"}"#,
        // It would come back as null.
        r#"{"note": ""}"#,
        // An input has one line.
        r#"{"name": "a\nb"}"#,
        "[]",
    ] {
        assert!(!fits(payload), "{payload}");
    }
}

#[test]
fn what_is_no_object_of_named_fields_has_no_form() {
    for schema in [
        json!({"type": "string"}),
        json!(true),
        json!({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}),
        json!({"properties": {}, "oneOf": []}),
    ] {
        assert_eq!(Form::of(&schema, &[]), None, "{schema}");
    }
    let none = Form::of(&json!({"type": "object", "properties": {}}), &[]);
    let mut none = none.expect("a payload of nothing");
    assert_eq!(none.payload().expect("a payload").get(), "{}");
}
