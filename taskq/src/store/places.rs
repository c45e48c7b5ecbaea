//! Whether Postgres can be trusted to delete rows by their places that it has not locked.
//!
//! Where somebody changes such a row and commits, `delete` goes on to its new version. Older Postgres takes that, wherever it stands.
//! Newer looks whether it is at one of the places that were asked for, and it is at none. So with older Postgres a task would run
//! that was put off, and its owner was told so.

/// The first versions that look, of each major one. All later ones do.
const LOOK_SINCE: [u32; 6] = [130_023, 140_020, 150_015, 160_011, 170_007, 180_001];

/// Tells whether a server of this version looks.
pub(super) fn are_looked_at(version: u32) -> bool {
    let of_major = LOOK_SINCE
        .iter()
        .find(|it| *it / 10_000 == version / 10_000);
    match of_major {
        Some(first) => version >= *first,
        None => Some(&version) > LOOK_SINCE.last(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_major_version_looks_since_a_minor_one_of_its_own() {
        for (version, look) in [
            (120_022, false),
            (130_022, false),
            (150_014, false),
            (150_015, true),
            (170_006, false),
            (170_010, true),
            (180_000, false),
            (180_001, true),
            (190_000, true),
        ] {
            assert_eq!(are_looked_at(version), look, "{version}");
        }
    }
}
