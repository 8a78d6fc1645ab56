//! Resolvers that answer well, badly and not at all.

use tokio::net::UdpSocket;

use super::*;

const RECORD: [u8; 12] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4];

/// A look through a resolver that answers each datagram with what `answers` makes of it.
async fn asked(more: &str, answers: impl Fn(usize, &[u8]) -> Option<Vec<u8>>) -> Found {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = socket.local_addr().unwrap();
    let target = format!("dns = {{ name = \"www.example.org\", resolver = \"{resolver}\"{more} }}");
    let mut looker = looker(&target);
    let serve = async {
        let mut datagram = [0; 512];
        for round in 0.. {
            let (length, peer) = socket.recv_from(&mut datagram).await.unwrap();
            if let Some(answer) = answers(round, &datagram[..length]) {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    };
    tokio::select! {
        found = looker.look() => found.unwrap(),
        () = serve => unreachable!("it serves for ever"),
    }
}

/// The response to a query, of this code and with these addresses.
fn response(query: &[u8], code: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2] |= 0x80;
    message[3] |= code;
    message[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        message.extend(RECORD);
        message.extend(address);
    }
    message
}

#[tokio::test]
async fn a_name_is_up_when_the_address_expected_is_among_those_given() {
    let both = [[192, 0, 2, 1], [192, 0, 2, 2]];
    for (more, code, addresses, failure) in [
        ("", 0, &both[..], None),
        (", expect = \"192.0.2.2\"", 0, &both, None),
        (
            ", expect = \"192.0.2.3\"",
            0,
            &both,
            Some(Failure::OtherAddress),
        ),
        ("", 0, &[], Some(Failure::NoAddress)),
        ("", 3, &[], Some(Failure::ResolverError)),
    ] {
        let found = asked(more, |_, query| Some(response(query, code, addresses))).await;
        assert_eq!(why(&found), failure, "{more}");
        assert_eq!(found.sample(Part::Status), f64::from(code));
        assert!(found.sample(Part::Duration) > 0.0);
    }
}

#[tokio::test]
async fn a_datagram_that_got_lost_is_sent_again() {
    let found = asked("", |round, query| {
        (round > 0).then(|| response(query, 0, &[[192, 0, 2, 1]]))
    });
    assert_eq!(why(&found.await), None);
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_taken() {
    let found = asked("", |_, query| {
        let mut other = response(query, 0, &[[192, 0, 2, 1]]);
        other[0] ^= 1;
        Some(other)
    });
    assert_eq!(why(&found.await), Some(Failure::NoAnswer));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_said_to_be() {
    let found = asked("", |_, query| {
        let mut message = response(query, 0, &[[192, 0, 2, 1]]);
        message.truncate(message.len() - 1);
        Some(message)
    });
    assert_eq!(why(&found.await), Some(Failure::Unreadable));
}

#[tokio::test]
async fn a_resolver_that_is_not_there_refuses() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = socket.local_addr().unwrap();
    drop(socket);
    let target = format!("dns = {{ name = \"a\", resolver = \"{resolver}\" }}");
    let found = looker(&target).look().await.unwrap();
    assert_eq!(why(&found), Some(Failure::Refused));
}
