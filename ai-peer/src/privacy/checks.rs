//! Check digits: what makes a number certain to be one of its kind.

/// The digits of a text, whatever stands between them.
pub(super) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|letter| letter.to_digit(10)).collect()
}

/// ISO/IEC 7812-1, annex B (Luhn).
pub(super) fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn number(digits: &[u32]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(*digit))
}

/// Spain: DNI and NIE, whose letter is the number modulo 23 (Real Decreto 1553/2005).
pub(super) fn spanish(text: &str) -> bool {
    const LETTERS: &[u8] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let text = text.replace('-', "").to_ascii_uppercase();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return false;
    };
    let lead = match first {
        b'X' => vec![0],
        b'Y' => vec![1],
        b'Z' => vec![2],
        _ => vec![],
    };
    let all = [lead, digits(&text)].concat();
    let at = usize::try_from(number(&all) % 23).unwrap_or_default();
    all.len() == 8 && LETTERS.get(at) == Some(&last)
}

/// Italy: codice fiscale (Decreto ministeriale 23 dicembre 1976).
pub(super) fn italian(text: &str) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let text = text.to_ascii_uppercase();
    let bytes = text.as_bytes();
    let Some((check, rest)) = bytes.split_last().filter(|(_, rest)| rest.len() == 15) else {
        return false;
    };
    let sum: u32 = rest
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let value = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => byte.saturating_sub(b'A'),
            };
            if at % 2 == 0 {
                ODD.get(usize::from(value)).copied().unwrap_or_default()
            } else {
                u32::from(value)
            }
        })
        .sum();
    u32::from(check.saturating_sub(b'A')) == sum % 26
}

/// France: the social security number (NIR), whose key is 97 less the number modulo 97.
pub(super) fn french(digits: &[u32]) -> bool {
    let Some((body, key)) = digits.split_at_checked(13).filter(|(_, key)| key.len() == 2) else {
        return false;
    };
    matches!(body.first(), Some(1 | 2)) && number(key) == 97 - number(body) % 97
}

/// Belgium: the national register number; for people born since 2000 a 2 is put before it.
pub(super) fn belgian(digits: &[u32]) -> bool {
    let Some((body, key)) = digits.split_at_checked(9).filter(|(_, key)| key.len() == 2) else {
        return false;
    };
    let (body, key) = (number(body), number(key));
    key == 97 - body % 97 || key == 97 - (2_000_000_000 + body) % 97
}

/// Brazil: CPF, with two check digits.
pub(super) fn brazilian(digits: &[u32]) -> bool {
    let check = |count: usize| {
        let weights = (2..=u32::try_from(count + 1).unwrap_or_default()).rev();
        let sum: u32 = digits
            .iter()
            .take(count)
            .zip(weights)
            .map(|(digit, weight)| digit * weight)
            .sum();
        sum * 10 % 11 % 10
    };
    let alike = digits.windows(2).all(|pair| pair.first() == pair.last());
    digits.len() == 11 && !alike && digits.get(9) == Some(&check(9)) && digits.get(10) == Some(&check(10))
}

/// Finland: henkilötunnus, whose last character is the number modulo 31.
pub(super) fn finnish(text: &str) -> bool {
    const LETTERS: &[u8] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let Some((body, check)) = text.split_at_checked(10) else {
        return false;
    };
    let at = usize::try_from(number(&digits(body)) % 31).unwrap_or_default();
    digits(body).len() == 9 && check.as_bytes().first() == LETTERS.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_published_as_examples_pass_and_their_neighbours_do_not() {
        assert!(luhn(&digits("4111 1111 1111 1111")) && !luhn(&digits("4111 1111 1111 1112")));
        assert!(spanish("12345678Z") && !spanish("12345678A") && spanish("X1234567L"));
        assert!(italian("RSSMRA85T10A562S") && !italian("RSSMRA85T10A562T"));
        assert!(french(&digits("255081416802538")) && !french(&digits("255081416802539")));
        assert!(belgian(&digits("85.07.30-033.28")) && !belgian(&digits("85.07.30-033.29")));
        assert!(brazilian(&digits("529.982.247-25")) && !brazilian(&digits("529.982.247-26")));
        assert!(!brazilian(&digits("111.111.111-11")));
        assert!(finnish("131052-308T") && !finnish("131052-308U"));
    }
}
