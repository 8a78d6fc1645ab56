//! One record of `/dev/kmsg`. Source: Documentation/ABI/testing/dev-kmsg.
//!
//! `<priority>,<sequence>,<microseconds>,<flags>[,…];<text>` and a line end, then lines that begin with
//! a space and hold `KEY=value`. The priority is facility × 8 + level; facility 0 is the kernel itself.
//! Bytes that do not print are escaped as `\xNN` by the kernel.

/// A record, as far as a line needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// syslog's level, 0 to 7.
    pub(super) level: u8,
    /// Written by the kernel, and not by a process through `/dev/kmsg`.
    pub(super) from_kernel: bool,
    pub(super) sequence: u64,
    /// Since boot, by the clock that stands still while suspended.
    pub(super) micros: u64,
    pub(super) text: String,
}

/// Reads one record; `None` for what is none.
pub(super) fn parse(bytes: &[u8]) -> Option<Record> {
    let semicolon = bytes.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(&bytes[..semicolon]).ok()?;
    let mut numbers = head.split(',');
    let priority: u32 = numbers.next()?.parse().ok()?;
    let sequence = numbers.next()?.parse().ok()?;
    let micros = numbers.next()?.parse().ok()?;
    let text = bytes[semicolon + 1..]
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut text = String::from_utf8_lossy(text).into_owned();
    crate::files::cut(&mut text);
    Some(Record {
        level: u8::try_from(priority & 7).unwrap_or(7),
        from_kernel: priority >> 3 == 0,
        sequence,
        micros,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_of_kernel_and_processes_are_told_apart() {
        let read = parse(
            b"3,1234,5678901,-;EXT4-fs error (device sda1)\n SUBSYSTEM=block\n DEVICE=b8:1\n",
        );
        let expected = Record {
            level: 3,
            from_kernel: true,
            sequence: 1234,
            micros: 5_678_901,
            text: "EXT4-fs error (device sda1)".to_owned(),
        };
        assert_eq!(read, Some(expected));
        assert!(
            !parse(b"30,1,2,-,caller=T1;systemd[1]: hello\n")
                .unwrap()
                .from_kernel
        );
        for none in [&b""[..], b"no record", b"3,x,1,-;y", b"3;y"] {
            assert_eq!(parse(none), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn any_record_reads_back(priority in 0..200_u32, sequence: u64, micros: u64, text in "[ -~]{0,80}") {
            let record = parse(format!("{priority},{sequence},{micros},-;{text}\n K=v\n").as_bytes()).unwrap();
            prop_assert_eq!((record.sequence, record.micros, record.text), (sequence, micros, text));
        }
    }
}
