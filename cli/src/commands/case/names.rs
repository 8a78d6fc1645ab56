//! Names in a case. Its tables have no quoting, so what would break a line or a cell is written as `%` and its hexadecimal
//! bytes; `%` itself too, so that no two names become one.

use firstlook_model::ComponentId;

/// A component as every file of a case names it.
pub fn component(id: &ComponentId) -> String {
    encoded(&id.to_string())
}

/// The column of a signal: `component|signal`.
pub fn column(id: &ComponentId, signal: &str) -> String {
    format!("{}|{}", component(id), encoded(signal))
}

/// A signal as a column names it.
pub fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() || ",\"'|%".contains(c) {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            out.extend(bytes.map(|byte| format!("%{byte:02X}")));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ComponentKind, HostId};
    use proptest::prelude::*;

    /// What stands behind the written form.
    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn plain_names_stay_as_they_are_and_others_fit_a_cell() {
        let id = |text: &str| text.parse::<ComponentId>().unwrap();
        let plain = id("service:db1/postgresql@15-main.service");
        assert_eq!(
            column(&plain, "cpu.user_seconds_total"),
            "service:db1/postgresql@15-main.service|cpu.user_seconds_total"
        );
        assert_eq!(component(&id("service:h1/a,b|c")), "service:h1/a%2Cb%7Cc");
        assert_eq!(encoded("100%\n"), "100%25%0A");
    }

    proptest! {
        #[test]
        fn any_name_makes_one_cell_and_is_told_from_every_other(
            name in "[^\\p{Cc}]{1,60}",
            signal in "(?s).{1,40}",
        ) {
            let host = HostId::new("h1").unwrap();
            let id = ComponentId::on_host(ComponentKind::Service, host, name).unwrap();
            let column = column(&id, &signal);
            // As the reader takes a header apart.
            prop_assert_eq!(column.lines().count(), 1);
            prop_assert_eq!(column.split(',').count(), 1);
            prop_assert!(!column.contains(['"', '\'']));
            let (left, right) = column.rsplit_once('|').unwrap();
            prop_assert_eq!(left.to_owned(), component(&id));
            prop_assert_eq!(decoded(left), id.to_string());
            prop_assert_eq!(decoded(right), signal);
        }
    }
}
