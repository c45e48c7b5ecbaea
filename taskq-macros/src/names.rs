//! Names: of a payload struct after its handler, and of task types and queues.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;

/// The longest name of a queue or a task type, in bytes. The tables have the same limit.
pub(crate) const MAX_NAME_LENGTH: usize = 200;

/// Returns the name of the payload struct of a handler: `SendEmailWelcome` for
/// `send_email_welcome`. There is none for a name such as `_1`.
pub(crate) fn payload(handler: &Ident) -> Option<Ident> {
    let name = pascal_case(&handler.unraw().to_string());
    // Resolves as if the user had written it, and points at the handler.
    let span = Span::mixed_site().located_at(handler.span());
    let mut ident = syn::parse_str::<Ident>(&name).ok()?;
    ident.set_span(span);
    Some(ident)
}

/// Returns the name of the task of a handler whose payload is declared elsewhere:
/// `SendEmailWelcomeHandler` for `send_email_welcome`.
pub(crate) fn handler_type(handler: &Ident) -> Option<Ident> {
    let payload = payload(handler)?;
    Some(quote::format_ident!(
        "{}Handler",
        payload.unraw(),
        span = payload.span()
    ))
}

/// Returns the payload field of an argument: its name without the underscore by which the body
/// says that it does not use it. Rows keep their field when a `todo!()` becomes a handler.
pub(crate) fn field(argument: &Ident) -> Ident {
    let name = argument.unraw().to_string();
    let plain = name.trim_start_matches('_');
    let mut field = match syn::parse_str::<Ident>(plain) {
        Ok(field) => field,
        // A word of the language, such as `type`, or nothing that is a name.
        Err(_) if matches!(plain, "" | "self" | "Self" | "super" | "crate") => argument.clone(),
        Err(_) if plain.starts_with(|first: char| first.is_ascii_digit()) => argument.clone(),
        Err(_) => Ident::new_raw(plain, argument.span()),
    };
    field.set_span(argument.span());
    field
}

/// Returns the name of a task type that names none.
pub(crate) fn task_type(handler: &Ident) -> String {
    handler.unraw().to_string()
}

/// Returns the name of a task type whose payload names none: `send_email_welcome` for
/// `SendEmailWelcome`, as of a handler.
pub(crate) fn task_type_of_payload(payload: &Ident) -> String {
    let name = payload.unraw().to_string();
    let mut snake = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_small {
            snake.push('_');
        }
        after_small = !letter.is_uppercase();
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Says what is wrong with the name of a queue or task type, if anything.
pub(crate) fn problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("must not be empty".into())
    } else if name.len() > MAX_NAME_LENGTH {
        Some(format!(
            "must be at most {MAX_NAME_LENGTH} bytes long, not {}",
            name.len()
        ))
    } else if name.chars().any(char::is_control) {
        Some("must not contain control characters".into())
    } else {
        None
    }
}

fn pascal_case(name: &str) -> String {
    name.split('_').map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut rest = word.chars();
    rest.next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(rest)
        .collect()
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser as _;

    use super::*;

    fn field_of(argument: &str) -> String {
        let ident = Ident::parse_any.parse_str(argument).expect("an identifier");
        field(&ident).to_string()
    }

    #[test]
    fn a_field_is_called_like_its_argument_without_the_mark_of_the_unused() {
        for (argument, field) in [
            ("usr_id", "usr_id"),
            ("_usr_id", "usr_id"),
            ("__x", "x"),
            ("_type", "r#type"),
            ("r#type", "r#type"),
            ("_1", "_1"),
            ("_self", "_self"),
        ] {
            assert_eq!(field_of(argument), field);
        }
    }

    fn payload_of(handler: &str) -> Option<String> {
        let handler = Ident::parse_any
            .parse_str(handler)
            .expect("an identifier, raw or not");
        payload(&handler).map(|ident| ident.to_string())
    }

    #[test]
    fn a_payload_is_named_after_its_handler() {
        for (handler, expected) in [
            ("send_email_welcome", "SendEmailWelcome"),
            ("purge", "Purge"),
            ("_purge__all_", "PurgeAll"),
            ("step_2", "Step2"),
            ("send2fa", "Send2fa"),
            ("sendMail", "SendMail"),
            ("élan_ñu", "ÉlanÑu"),
            ("r#match", "Match"),
        ] {
            assert_eq!(payload_of(handler).as_deref(), Some(expected));
        }
    }

    #[test]
    fn some_handlers_leave_no_name_for_a_payload() {
        for handler in ["_1", "__", "self_"] {
            assert_eq!(payload_of(handler), None);
        }
    }

    #[test]
    fn a_task_type_is_named_after_its_payload() {
        for (payload, expected) in [
            ("SendEmailWelcome", "send_email_welcome"),
            ("Purge", "purge"),
            ("Step2", "step2"),
            ("SendSMS", "send_sms"),
            ("ÉlanÑu", "élan_ñu"),
        ] {
            let payload = Ident::new(payload, Span::call_site());
            assert_eq!(task_type_of_payload(&payload), expected);
        }
    }

    #[test]
    fn a_raw_handler_has_a_plain_task_type() {
        let handler = Ident::new_raw("match", Span::call_site());
        assert_eq!(task_type(&handler), "match");
    }

    #[test]
    fn a_name_is_neither_empty_nor_long_nor_unprintable() {
        assert_eq!(problem("mail"), None);
        assert_eq!(problem("e-mail.send/välkommen"), None);
        assert_eq!(problem(&"x".repeat(MAX_NAME_LENGTH)), None);
        assert!(problem("").is_some());
        assert!(problem(&"x".repeat(MAX_NAME_LENGTH + 1)).is_some());
        assert!(problem("mail\n").is_some());
    }
}
