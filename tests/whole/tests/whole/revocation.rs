//! Shutting a host out, and letting it in again.

use firstlook_desk::{AuditOutcome, Desk};
use firstlook_proto::wire;
use firstlook_proto::wire::enrolment_client::EnrolmentClient;
use firstlook_whole::papers::signing_request;
use firstlook_whole::{Host, House, Line, Papers, until};
use tonic::Code;

const SESSIONS: &str = "firstlook_ingest_refused_sessions_total";

fn state(house: &House) -> String {
    let hosts = house.ask_json("hosts", &["hosts", "h1"]);
    hosts["hosts"][0]["state"].as_str().unwrap().to_owned()
}

fn components(house: &House) -> Vec<serde_json::Value> {
    let map = house.ask_json("map", &["map", "--all"]);
    map["components"].as_array().unwrap().clone()
}

fn revoke(house: &House) {
    let args = ["hosts", "revoke", "h1", "--reason", "stolen"];
    let revoked = house.ask_json("host-revoked", &args);
    assert_eq!(revoked["host"], "h1");
}

async fn renewal(papers: &Papers, house: &House) -> Result<String, tonic::Status> {
    let channel = papers.channel(&house.agents_url()).await.unwrap();
    let csr_pem = signing_request().1;
    let renewed = EnrolmentClient::new(channel)
        .renew(wire::RenewRequest { csr_pem })
        .await?;
    Ok(renewed.into_inner().certificate_pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_loses_its_session_and_gets_neither_another_nor_a_new_certificate() {
    let house = House::open();
    let papers = house.admit("h1");
    let channel = papers.channel(&house.agents_url()).await.unwrap();
    let (mut line, _) = Line::greeted(channel.clone(), 1).await.unwrap();
    let said = house.ask(&["hosts", "revoke", "h1"]);
    assert_eq!((said.code, &*said.err), (0, ""));
    assert!(said.out.contains("its session was ended"), "{}", said.out);
    let ended = line.refusal().await;
    assert_eq!(ended.code(), Code::PermissionDenied);
    assert!(ended.message().contains("h1 is revoked"), "{ended}");
    let refused = Line::open(channel).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let way_back = "join it again with a new token";
    assert!(refused.message().contains(way_back), "{refused}");
    let renewed = renewal(&papers, &house).await.unwrap_err();
    assert_eq!(renewed.code(), Code::PermissionDenied);
    assert_eq!(state(&house), "revoked");
    let snapshot = house.ask(&["snapshot", "take", "h1"]);
    assert_eq!(snapshot.code, 4, "{}", snapshot.err);
    assert!(snapshot.err.contains(way_back), "{}", snapshot.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_before_a_host_joined_again_stay_void() {
    let house = House::open();
    let old = house.admit("h1");
    revoke(&house);
    let second = house.path("second");
    std::fs::create_dir_all(&second).unwrap();
    let request = firstlook_uplink::JoinRequest {
        collector: house.agents_url(),
        token: house.token(),
        name: firstlook_model::HostId::new("h1").unwrap(),
    };
    firstlook_uplink::join(request, &second).await.unwrap();
    assert_eq!(state(&house), "never-seen");
    let refused = Line::open(old.channel(&house.agents_url()).await.unwrap()).await;
    assert_eq!(refused.err().unwrap().code(), Code::PermissionDenied);
    let renewed = renewal(&old, &house).await.unwrap_err();
    assert_eq!(renewed.code(), Code::PermissionDenied);

    // Of its own, the one with which it asked for the newest stays good until it shows that.
    let mut papers = Papers::of_agent(&second);
    for _ in 0..2 {
        renewal(&papers, &house).await.unwrap();
    }
    let (key_pem, csr_pem) = signing_request();
    let channel = papers.channel(&house.agents_url()).await.unwrap();
    let renewed = EnrolmentClient::new(channel)
        .renew(wire::RenewRequest { csr_pem })
        .await;
    let lost = papers.clone();
    papers.certificate_pem = renewed.unwrap().into_inner().certificate_pem;
    papers.key_pem = key_pem;
    for good in [&lost, &papers] {
        let channel = good.channel(&house.agents_url()).await.unwrap();
        Line::greeted(channel, 1).await.unwrap();
    }
    renewal(&papers, &house).await.unwrap();
    let late = renewal(&lost, &house).await.unwrap_err();
    assert_eq!(late.code(), Code::PermissionDenied);
}

#[test]
fn only_an_enrolled_host_can_be_revoked_and_only_once_and_the_audit_says_who_and_why() {
    let house = House::open();
    for (args, code) in [
        (vec!["hosts", "revoke", "nobody"], 3),
        (vec!["hosts", "revoke", "NOT A HOST"], 2),
        (vec!["hosts", "revoke"], 2),
        (vec!["hosts", "h1", "revoke", "h1"], 2),
    ] {
        let said = house.ask(&args);
        assert_eq!((said.code, &*said.out), (code, ""), "{args:?} {}", said.err);
    }
    let papers = house.admit("h1");
    let long = "x".repeat(4_000);
    let wordy = house.ask(&["hosts", "revoke", "h1", "--reason", &long]);
    assert_eq!(wordy.code, 2, "{}", wordy.err);
    let credentials = papers.write(house.path("host-credentials"));
    let refused = house.ask_as(&credentials, &["hosts", "revoke", "h1"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    revoke(&house);
    let again = house.ask(&["hosts", "revoke", "h1", "--reason", "again"]);
    assert_eq!(again.code, 5, "{}", again.err);
    assert!(again.err.contains("revoked at"), "{}", again.err);

    let desk = Desk::open(house.data().join("desk.sqlite")).unwrap();
    let audit = desk.audit().list(100).unwrap();
    let acts: Vec<_> = audit.iter().filter(|e| e.what == "host revoke").collect();
    assert_eq!(acts.len(), 1, "{acts:?}");
    assert_eq!(acts[0].detail, "h1: stolen");
    assert_eq!(acts[0].result, AuditOutcome::Done);
    let row = desk.hosts().list().unwrap().remove(0);
    assert_eq!(row.revoked, Some(acts[0].time));
    assert!(!acts[0].who.is_empty());
}

#[test]
fn a_real_agent_is_shut_out_and_comes_back_with_a_token() {
    let mut house = House::open();
    let mut host = Host::join(&house, "h1");
    host.settled();
    until("the host reports", || {
        (state(&house) == "reporting").then_some(())
    });
    let before = house.counter(SESSIONS);
    revoke(&house);
    assert_eq!(state(&house), "revoked");
    house.counted(SESSIONS, before + 1);
    let hosts = || {
        let hosts = &house.ask_json("status", &["status"])["hosts"];
        (hosts["reporting"].as_u64(), hosts["silent"].as_u64())
    };
    assert_eq!(hosts(), (Some(0), Some(0)), "it is expected no more");
    until("the host is forgotten", || {
        components(&house).is_empty().then_some(())
    });
    house.stop();
    house.start();
    assert!(components(&house).is_empty(), "{:?}", components(&house));
    assert!(host.agent().runs(), "it waits, and keeps what it sees");
    host.stop();
    for file in ["identity.toml", "identity.pem"] {
        std::fs::remove_file(host.state_dir().join(file)).unwrap();
    }
    house.admit("h1");
    host.start();
    host.settled();
    until("the host is back", || {
        (state(&house) == "reporting").then_some(())
    });
    until("its components are back", || {
        (!components(&house).is_empty()).then_some(())
    });
}
