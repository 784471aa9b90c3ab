//! Names, roles and ids keep the rules of the schema.

use super::*;

#[test]
fn a_document_id_keeps_the_rules_of_the_schema() {
    assert_eq!(
        DocId::parse("Notizen für Ünal").unwrap().as_str(),
        "Notizen für Ünal"
    );
    assert_eq!(DocId::parse(""), Err(DocIdError::Empty));
    assert_eq!(DocId::parse("a\nb"), Err(DocIdError::Control));
    assert_eq!(DocId::parse("a~margin"), Err(DocIdError::Margin));
    assert!(DocId::parse(&"é".repeat(100)).is_ok());
    assert_eq!(
        DocId::parse(&"é".repeat(101)),
        Err(DocIdError::TooLong { bytes: 202 })
    );
    assert!(serde_json::from_str::<DocId>("\"\"").is_err());
}

#[test]
fn a_name_on_the_wire_is_read_back() {
    for (name, part) in [
        ("plan", Part::Body),
        ("plan~margin", Part::Margin),
        ("~margi", Part::Body),
    ] {
        let parsed = DocName::parse(name).unwrap();
        assert_eq!(parsed.part, part);
        assert_eq!(parsed.to_string(), name);
    }
    assert_eq!(DocName::parse("~margin"), Err(DocIdError::Empty));
    assert_eq!(DocName::parse("a~margin~margin"), Err(DocIdError::Margin));
}

#[test]
fn roles_open_the_parts_they_should() {
    let table = [
        (Role::Viewer, [false, false, false]),
        (Role::Suggester, [false, true, false]),
        (Role::Editor, [true, true, true]),
        (Role::Owner, [true, true, true]),
    ];
    for (role, expected) in table {
        let may = [
            role.may_write(Part::Body),
            role.may_write(Part::Margin),
            role.may_decide(),
        ];
        assert_eq!(may, expected, "{role}");
        assert_eq!(role.as_str().parse(), Ok(role));
        assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
    }
    assert!(Role::Viewer < Role::Suggester && Role::Suggester < Role::Editor && Role::Editor < Role::Owner);
    assert!("Owner".parse::<Role>().is_err());
}

#[test]
fn ids_sort_by_time_and_repeat_with_their_source() {
    let mut chance = 7_u128;
    let mut ids = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        chance
    };
    let (first, second) = (ids.ulid(Timestamp(1_000)), ids.ulid(Timestamp(2_000)));
    assert!(first < second);
    assert_eq!(first.timestamp_ms(), 1_000);
    assert_eq!((|| 5_u128).ulid(Timestamp(3)), (|| 5_u128).ulid(Timestamp(3)));
}
