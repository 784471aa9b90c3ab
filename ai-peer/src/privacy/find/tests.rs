use super::*;

fn found(text: &str) -> Vec<(Kind, &str)> {
    let names = ["Ada Lovelace".to_owned(), "Bo".to_owned()];
    find(text, &names)
        .into_iter()
        .map(|found| (found.kind, &text[found.range]))
        .collect()
}

#[test]
fn each_kind_is_found_in_running_text() {
    for (text, kind, span) in [
        (
            "Write to ada.l+x@example.org, please.",
            Kind::Email,
            "ada.l+x@example.org",
        ),
        ("Cut: ada@exa", Kind::Email, "ada@exa"),
        ("Call +49 30 901820-11 today", Kind::Phone, "+49 30 901820-11"),
        ("Call (030) 901820 44.", Kind::Phone, "(030) 901820 44"),
        ("Call 415-555-2671 now", Kind::Phone, "415-555-2671"),
        (
            "IBAN DE89 3704 0044 0532 0130 00 and more words",
            Kind::Iban,
            "DE89 3704 0044 0532 0130 00",
        ),
        ("to GB82WEST12345698765432.", Kind::Iban, "GB82WEST12345698765432"),
        (
            "order 12 4111 1111 1111 1111 5",
            Kind::Card,
            "4111 1111 1111 1111",
        ),
        ("host 192.168.10.4:80", Kind::Ip, "192.168.10.4"),
        (
            "host 2001:db8::ff00:42:8329 is up",
            Kind::Ip,
            "2001:db8::ff00:42:8329",
        ),
        ("DNI 12345678Z", Kind::NationalId, "12345678Z"),
        ("CPF 529.982.247-25.", Kind::NationalId, "529.982.247-25"),
        (
            "see https://u:p@example.org/x now",
            Kind::Url,
            "https://u:p@example.org/x",
        ),
        (
            "see https://example.org/#/d/1?key=abc now",
            Kind::Url,
            "https://example.org/#/d/1?key=abc",
        ),
        ("then Ada Lovelace's notes", Kind::Name, "Ada Lovelace"),
        ("then Lovelace wrote", Kind::Name, "Lovelace"),
        ("a text like [email_3] here", Kind::Text, "[email_3]"),
    ] {
        assert_eq!(found(text), [(kind, span)], "{text}");
    }
}

#[test]
fn ordinary_numbers_and_words_are_left_alone() {
    for text in [
        "In 1815 there were 4111 of them, 12.5 % more than on 2024-05-11 at 12:30:45.",
        "Version 1.2.3 of std::net costs 1,299.00 euros; see https://example.org/a?page=2.",
        "The card 4111 1111 1111 1112 has a wrong digit, and GB83WEST12345698765432, too.",
        "Adamant people read [1] and Boats.",
        "π ≈ 3.14159 26535 89793 23846",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn what_overlaps_is_one_span() {
    let text = "Ada Lovelace@example.org";
    let spans = found(text);
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].1, text);
}
