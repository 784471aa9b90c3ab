//! Keys, origins, and where a caller is.

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

#[test]
fn without_keys_the_owner_is_whoever_is_on_this_machine() {
    let access = Access {
        open_to_local: true,
        ..Access::default()
    };
    assert_eq!(access.role(Caller::Local, None), Ok(Role::Owner));
    assert_eq!(access.role(Caller::Remote, None), Err(AccessError::KeyMissing));
    let closed = Access::process_only();
    assert_eq!(closed.role(Caller::Local, None), Err(AccessError::KeyMissing));
    assert_eq!(closed.role(Caller::Process, None), Ok(Role::Owner));
}

#[test]
fn a_key_gives_its_role() {
    let access = Access {
        keys: vec![("o".into(), Role::Owner), ("v".into(), Role::Viewer)],
        ..Access::default()
    };
    let role = |key| access.role(Caller::Local, key);
    assert_eq!(
        role(None),
        Err(AccessError::KeyMissing),
        "a key is asked for on this machine, too"
    );
    assert_eq!(role(Some("x")), Err(AccessError::KeyWrong));
    assert_eq!(role(Some("o")), Ok(Role::Owner));
    assert_eq!(role(Some("v")), Ok(Role::Viewer));
}

#[test]
fn a_page_of_another_address_is_refused() {
    let access = Access {
        origins: vec!["https://wiki.example".into()],
        ..Access::default()
    };
    let check =
        |origin: &str| access.check_origin(&headers(&[("host", "127.0.0.1:4444"), ("origin", origin)]));
    assert!(
        access
            .check_origin(&headers(&[("host", "127.0.0.1:4444")]))
            .is_ok()
    );
    assert!(check("http://127.0.0.1:4444").is_ok());
    assert!(check("https://wiki.example").is_ok());
    for foreign in [
        "http://127.0.0.1:80",
        "https://evil.example",
        "null",
        "http://wiki.example",
        "",
    ] {
        assert!(matches!(check(foreign), Err(AccessError::Origin(_))), "{foreign}");
    }
}

#[test]
fn local_means_from_here_and_to_here() {
    let here = Some("127.0.0.1:5000".parse().unwrap());
    let there = Some("192.0.2.1:5000".parse().unwrap());
    for host in ["localhost:4444", "127.0.0.1:4444", "[::1]:4444", "localhost"] {
        assert_eq!(
            Caller::of(here, &headers(&[("host", host)])),
            Caller::Local,
            "{host}"
        );
    }
    assert_eq!(
        Caller::of(there, &headers(&[("host", "localhost")])),
        Caller::Remote
    );
    assert_eq!(
        Caller::of(here, &headers(&[("host", "evil.example")])),
        Caller::Remote,
        "rebound name"
    );
    assert_eq!(
        Caller::of(
            here,
            &headers(&[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")])
        ),
        Caller::Remote,
        "a proxy on this machine"
    );
    assert_eq!(Caller::of(None, &headers(&[])), Caller::Remote);
}
