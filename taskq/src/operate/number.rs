//! Numbers, as people read them.

/// Returns a number with its thousands apart.
pub(crate) fn number(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_stand_apart() {
        let said = [0_i64, 999, 1_000, 1_234_567, -999, -1_000].map(number);
        assert_eq!(said, ["0", "999", "1,000", "1,234,567", "-999", "-1,000"]);
    }
}
