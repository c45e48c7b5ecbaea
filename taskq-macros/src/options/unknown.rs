//! What is said of an option that there is not, or not here.

use proc_macro2::Ident;

/// How alike two words must be for the one to be taken for a slip of the other.
///
/// Every slip in the tests below is above, and no word that merely looks like an option.
const ALIKE: f64 = 0.75;

/// What other task queues have as an option, and how to say it here.
const ELSEWHERE: [(&str, &str); 2] = [
    (
        "retries",
        "`max_attempts` says how often a task is attempted at most, the first time included",
    ),
    (
        "unique",
        "taskq has no unique tasks yet: look in your own tables, in the transaction that would enqueue \
         the task, whether it is needed",
    ),
];

/// Makes the error that there is no such option among those that may stand here.
pub(super) fn unknown(key: &Ident, names: &[&str]) -> syn::Error {
    let name = key.to_string();
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
    let hint = match (elsewhere, meant(&name, names)) {
        (Some((_, hint)), _) => format!("{hint}; "),
        (None, Some(meant)) => format!("did you mean `{meant}`? "),
        (None, None) => String::new(),
    };
    let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let list = list.join(", ");
    syn::Error::new_spanned(
        key,
        format!("unknown option `{name}`; {hint}the options are {list}"),
    )
}

/// Makes the error that the option stands in the wrong attribute.
pub(super) fn misplaced(key: &Ident) -> syn::Error {
    let message = match key.to_string().as_str() {
        name @ ("payload" | "derive") => {
            format!("`{name}` is for the struct that `#[task]` makes; this one is yours: remove it")
        }
        name => format!("`{name}` is about the handler: write it in the handler's `#[task]`"),
    };
    syn::Error::new_spanned(key, message)
}

fn meant<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .map(|known| (*known, strsim::jaro_winkler(name, known)))
        .filter(|(_, alike)| *alike >= ALIKE)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(known, _)| known)
}
