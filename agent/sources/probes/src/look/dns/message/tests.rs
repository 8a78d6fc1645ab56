use proptest::prelude::*;

use super::*;

const ID: u16 = 0x1234;

fn question(record: Record) -> Question {
    Question::new("www.example.org", record).unwrap()
}

/// A response of these flags to the question, with these records after it.
fn response(question: &Question, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap();
    let header = [ID, RESPONSE | flags, 1, count, 0, 0];
    let mut message: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
    message.extend_from_slice(&question.bytes);
    message.extend(records.concat());
    message
}

/// A record of the name at the place of the question's.
fn record(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

#[test]
fn a_query_is_what_the_standard_shows() {
    let asked = Question::new("a.bc.", Record::Aaaa).unwrap().query(ID);
    let expected = [
        &[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
        &[1, b'a', 2, b'b', b'c', 0, 0, 28, 0, 1],
    ];
    assert_eq!(asked, expected.concat());
}

#[test]
fn names_that_no_host_has_are_refused() {
    let long = format!("{}.org", "a".repeat(64));
    let longer = vec!["a".repeat(60); 5].join(".");
    for name in ["", ".", "a..b", "a b", "ä.org", &long, &longer] {
        assert_eq!(Question::new(name, Record::A), None, "{name}");
    }
}

#[test]
fn addresses_are_read_past_other_records() {
    let asked = question(Record::A);
    let alias = record(5, &[1, b'x', 0xc0, 12]);
    let records = [alias, record(1, &[192, 0, 2, 1]), record(28, &[0; 16])];
    let answer = asked.answer(ID, &response(&asked, 0, &records)).unwrap();
    let addresses = vec![IpAddr::from([192, 0, 2, 1])];
    assert_eq!(answer, Some(Answer { code: 0, addresses }));
}

#[test]
fn addresses_of_version_six_are_read() {
    let asked = question(Record::Aaaa);
    let told = response(&asked, 0, &[record(28, &Ipv6Addr::LOCALHOST.octets())]);
    let addresses = asked.answer(ID, &told).unwrap().unwrap().addresses;
    assert_eq!(addresses, [IpAddr::from(Ipv6Addr::LOCALHOST)]);
}

#[test]
fn an_error_is_told_by_its_code() {
    let asked = question(Record::A);
    let answer = asked.answer(ID, &response(&asked, 3, &[])).unwrap();
    assert_eq!(answer.unwrap().code, 3);
    let bare = [0x12, 0x34, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(asked.answer(ID, &bare).unwrap().unwrap().code, 2);
}

#[test]
fn what_answers_another_question_is_not_ours() {
    let asked = question(Record::A);
    let told = response(&asked, 0, &[record(1, &[192, 0, 2, 1])]);
    assert_eq!(asked.answer(ID + 1, &told), Ok(None));
    assert_eq!(question(Record::Aaaa).answer(ID, &told), Ok(None));
    assert_eq!(asked.answer(ID, &asked.query(ID)), Ok(None));
    assert_eq!(asked.answer(ID, &told[..11]), Ok(None));
}

#[test]
fn an_answer_that_ends_early_is_malformed_unless_it_says_so() {
    let asked = question(Record::A);
    let records = [record(1, &[192, 0, 2, 1]), record(1, &[192, 0, 2, 2])];
    let told = response(&asked, 0, &records);
    assert_eq!(asked.answer(ID, &told[..told.len() - 1]), Err(Malformed));
    let cut = response(&asked, CUT_SHORT, &records);
    let answer = asked.answer(ID, &cut[..cut.len() - 1]).unwrap().unwrap();
    assert_eq!(answer.addresses, [IpAddr::from([192, 0, 2, 1])]);
}

proptest! {
    #[test]
    fn any_datagram_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = question(Record::A).answer(ID, &bytes);
    }

    #[test]
    fn any_records_are_read_or_refused(
        tail in proptest::collection::vec(any::<u8>(), 0..200), flags in 0..0x0400_u16, count in 0..9_usize,
    ) {
        let asked = question(Record::A);
        let mut told = response(&asked, flags, &vec![Vec::new(); count]);
        told.extend(tail);
        if let Ok(Some(answer)) = asked.answer(ID, &told) {
            prop_assert!(answer.addresses.len() <= count);
        }
    }

    #[test]
    fn addresses_come_back_as_they_were_sent(all in proptest::collection::vec(any::<[u8; 4]>(), 0..80)) {
        let asked = question(Record::A);
        let records: Vec<_> = all.iter().map(|address| record(1, address)).collect();
        let answer = asked.answer(ID, &response(&asked, 0, &records)).unwrap().unwrap();
        let sent: Vec<_> = all.into_iter().map(IpAddr::from).take(ADDRESSES_LIMIT).collect();
        prop_assert_eq!(answer.addresses, sent);
    }
}
