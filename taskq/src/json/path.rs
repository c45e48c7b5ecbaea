//! Tells where in a JSON text something is.

use std::fmt::Write;

/// How much of a path is shown, in bytes.
const LONGEST: usize = 300;

/// What leads from an array or object to what stands in it.
enum Step {
    Index(usize),
    /// Where the name stands in the text, with its quotes. `None`: before it.
    Name(Option<(usize, usize)>),
}

/// Returns the path to what begins at `at`, such as `lines[0].price`; `.` is the whole. The text may end there.
pub(super) fn path_at(text: &[u8], at: usize) -> String {
    let mut steps = Vec::new();
    let mut here = 0;
    while here < at.min(text.len()) {
        let mut next = here + 1;
        match text[here] {
            b'{' => steps.push(Step::Name(None)),
            b'[' => steps.push(Step::Index(0)),
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Name(name)) => *name = None,
                None => {}
            },
            b'"' => {
                next = string_end(text, here);
                if let Some(Step::Name(name @ None)) = steps.last_mut() {
                    *name = Some((here, next));
                }
            }
            _ => {}
        }
        here = next;
    }
    let mut path = String::new();
    for step in steps {
        // A `String` takes whatever is written to it.
        let _ = match step {
            Step::Index(index) => write!(path, "[{index}]"),
            Step::Name(None) => Ok(()),
            Step::Name(Some((from, to))) => {
                let name = name(&text[from..to]);
                let dot = if path.is_empty() { "" } else { "." };
                write!(path, "{dot}{name}")
            }
        };
    }
    if path.is_empty() {
        return ".".into();
    }
    if path.len() > LONGEST {
        path.truncate(path.floor_char_boundary(LONGEST));
        path.push('…');
    }
    path
}

/// Reads a name, or any string, without its quotes and escapes.
pub(super) fn name(quoted: &[u8]) -> String {
    serde_json::from_slice(quoted).unwrap_or_else(|_| String::from_utf8_lossy(quoted).into_owned())
}

/// Returns where the string ends that begins here: behind its last quote.
pub(super) fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_place() {
        let text = r#"{"a":1,"b":[{"c\n":"x,\"{[","d":[[],[7"#;
        for (end, path) in [
            ("{", "."),
            (r#"{"a":"#, "a"),
            (r#"{"a":1,"#, "."),
            (r#"{"a":1,"b":["#, "b[0]"),
            (r#"{"a":1,"b":[{"c\n":"#, "b[0].c\n"),
            (r#"{"a":1,"b":[{"c\n":"x,\"{[","d":[["#, "b[0].d[0][0]"),
            (text, "b[0].d[1][0]"),
        ] {
            assert!(text.starts_with(end));
            assert_eq!(path_at(text.as_bytes(), end.len()), path);
        }
    }
}
