//! Secrets planted in everything that the pipeline takes: none is in what the journal holds.

use firstlook_model::{Change, ChangeKind};

use super::*;

/// Log lines, one of them a stack trace.
const LINES: [(&str, &str); 27] = [
    ("login failed user=bob password={}", "vjASde5KgyNdHocfCB"),
    (
        "config loaded: {\"db_password\":\"{}\",\"port\":5432}",
        "eqfLCd5MhpRRNdMNAd",
    ),
    ("settings = {'api_key': '{}'}", "pcL7itBjKhMuL5UmgN"),
    (
        "GET /cb?access_token={}&page=2 HTTP/1.1",
        "MRnygLWeMdQoGUKC2v",
    ),
    ("Authorization: Bearer {}", "ENEyuq3mV2qfMuJG9w"),
    ("proxy-authorization: Basic {}", "XDtPehHBkZwjGBcTeZ"),
    (
        "connect postgres://app:{}@db1:5432/shop failed",
        "LM395vwVxPGN4Ee6fs",
    ),
    ("redis://:{}@cache1:6379/0 refused", "FVTedXVuSMU5DtWz9T"),
    ("amqp://shop:{}@mq1/ closed", "xbExkQhGdo2tiYqAA8"),
    ("dsn app:{}@tcp(db1:3306)/shop", "GfkDALs9i5C8LsWBxU"),
    (
        "Server=db;User Id=sa;Password={};Timeout=3",
        "9zpjfmjpTpaG6Nmrta",
    ),
    (
        "AccountName=a;AccountKey={};EndpointSuffix=x",
        "jBKyQMviV7HQSUYdE8",
    ),
    ("Set-Cookie: session={}; HttpOnly", "28U4LAAAAgFRAdneoD"),
    ("x-api-key: {}", "khwPdgaMjKgyQbe8oQ"),
    ("X-Vault-Token: {}", "zjRrxPyFhh7GEFFufj"),
    (
        "level=info msg=\"rotated\" client_secret={}",
        "gYwYrF6VkJboJyjVKb",
    ),
    ("spring.datasource.password={}", "ZJuS8fV7rJykx2pKK2"),
    ("ALTER USER app WITH PASSWORD '{}'", "HwRpQ43Z7n4q5AY4pn"),
    ("CREATE USER a IDENTIFIED BY '{}'", "JGxXbb3sFrnVPxD4Xx"),
    ("<password>{}</password>", "yfpgpFnwoFQQ6aFSx4"),
    ("otp={}", "Sf6Thz3WZnF9mC3Rwf"),
    ("session={} user=bob", "4XAEAYfXkkibjNE4Sj"),
    ("signing_key: {}", "Q5PFTxjLLiba4XSgJY"),
    ("encryptionKey={}", "iC8n58obrotHqZNvrK"),
    ("refresh_token=\"{}\"", "B6idYxETN5JB59HiKj"),
    (
        "ERROR boom\njava.io.IOException: password={}\n\tat a.B.c(D.java:1)",
        "JHb8D2mPa24jmjFQXh",
    ),
    (
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    connect(password='{}')\nOSError: x",
        "LdvUJJLF32g9Ldqnsc",
    ),
];

/// Tokens known by their form, wherever they stand.
const TOKENS: [(&str, &str); 13] = [
    ("used AKIA{} today", "2DSQTA267CQLVSVS"),
    ("used ghp_{} today", "nVsDHK4FHqVJ99rLn6DiBhADveTqCeoTu3h2"),
    ("used glpat-{} today", "jWSTyjr9iEpYgA9GkT6p"),
    (
        "used xoxb-123456789012-{} today",
        "kWCHAwBnxvfXybwLEDWbzwJQ",
    ),
    ("used sk_live_{} today", "tHeh3p9gfrsc2msZi5C7U5rA"),
    ("used AIza{} today", "jKHMGVvfsd4VmCesbRf4rfP7per8hEawLBs"),
    ("used npm_{} today", "QicJWqhkrdmnuRuJZotDHUmsx4brcabXHLnH"),
    (
        "used SG.{} today",
        "FqDgT5SCTGK69AHuVopwn69WXRiAxd6iaeRY9rCk",
    ),
    ("used hvs.{} today", "dfT6z8HTtPqVtcEmksDarywL"),
    (
        "used dop_v1_{} today",
        "a7196b50ac2f86702824c1c099724caf4941d4072014b3ce107f80e222f82876",
    ),
    (
        "used sk-{} today",
        "pYSEG7zeFUt2cQRSnePjwrSYVuQMiaFdGsUgVoUGtWJtEEE2",
    ),
    ("used shpat_{} today", "3692f09e2e8c662248b483b7ffc050fe"),
    ("used whsec_{} today", "AuXjBxzvh6wavZw6AhnWaYtryeAz8Ney"),
];

/// Command lines.
const COMMANDS: [(&str, &str); 8] = [
    ("mysqldump -uroot -p{} shop", "CZs7dsgd6TtRjqsC"),
    ("sshpass -p {} ssh db1", "Hvn2y3C9b4ZRA9LL"),
    ("redis-cli -a {} ping", "oXfdXBDQZiS8tGdL"),
    ("curl -u bob:{} https://api.example/", "ikFBwturYYSrASqu"),
    ("app --password {} --port 80", "FLTAhkSkeoH4GLpD"),
    ("app --api-key={}", "wZDCiLnqfmwLfvqy"),
    ("PGPASSWORD={} psql -h db1", "r4Mn9bY8BzBYJozs"),
    (
        "curl -H 'Authorization: token {}' https://api.example/",
        "wZdGsMyiUHJR387o",
    ),
];

/// Lines of a configuration's diff.
const DIFFS: [(&str, &str); 11] = [
    ("-password: {}", "fsqzASDCu758bicCWZ4FNG"),
    ("+requirepass {}", "aeA5J7EDq3gpjjJUg5XVS7"),
    ("+masterauth {}", "ZEfL2ca3ipMcSWuiRrJRCV"),
    ("+  api_key = {}", "ZhgeuJNnzrp3PaaKuEsvS6"),
    ("+export AWS_SECRET_ACCESS_KEY={}", "9qFJqLqbBWSudbnG9USBfr"),
    ("+Environment=DB_PASSWORD={}", "pTCypGcVwWByUAna4tY7He"),
    ("+url = mysql://shop:{}@db1/shop", "oGnu25npEprZ9tgQGQmpGB"),
    (
        "+root:$6$saltsalt${}:19000:0:99999",
        "TdPjAdobPjBdWdmADW9vXh",
    ),
    ("+  secret: |\n+    {}", "fkwnmSJYEcuTXz6ywDkgaf"),
    (
        "+-----BEGIN PRIVATE KEY-----\n+{}\n+-----END PRIVATE KEY-----",
        "sfxB9hLZozx25u54CfdWFn",
    ),
    (
        "+jwt = eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx{}.c2ln",
        "yKDnvyYFbRBq4R2AczcEe4",
    ),
];

fn change(n: usize, text: String, detail: String) -> Change {
    Change {
        id: format!("config:{n}@1"),
        time: Timestamp::from_secs(1),
        component: ComponentId::host(HostId::new("h1").unwrap()),
        kind: ChangeKind::ConfigFile,
        text,
        detail,
    }
}

#[tokio::test]
async fn no_planted_secret_reaches_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), 1 << 20);
    let (source, mut spool) = spool(&journal);
    let planted = |list: &[(&str, &str)]| -> Vec<String> {
        list.iter()
            .map(|(text, secret)| text.replace("{}", secret))
            .collect()
    };
    let (lines_of, commands) = (planted(&LINES), planted(&COMMANDS));
    let all = [lines_of, planted(&TOKENS), commands.clone()].concat();
    for (n, text) in all.iter().enumerate() {
        source.deliver(lines(text, n.to_string().as_bytes())).await;
        if let Ok(Some(lines)) = spool.outlet.lines.try_recv().map(Some) {
            spool.take(Observation::Lines(lines));
        }
    }
    let diff = planted(&DIFFS).join("\n+port = 1\n");
    let mut changes = vec![change(0, "/etc/shop.conf changed".to_owned(), diff)];
    for (n, command) in commands.into_iter().enumerate() {
        let detail = format!(" [Service]\n+ExecStart={command}\n");
        changes.push(change(n + 1, format!("runs {command}"), detail));
    }
    spool.take(Observation::Changes(changes));
    spool.flush().await;

    let records = records(&journal);
    let entries = records.iter().map(|record| match record {
        Record::Logs(block) => block.entries.len(),
        Record::Changes(changes) => changes.len(),
        _ => 0,
    });
    assert_eq!(entries.sum::<usize>(), all.len() + COMMANDS.len() + 1);
    let told = format!("{records:?}");
    let lists: [&[(&str, &str)]; 4] = [&LINES, &TOKENS, &COMMANDS, &DIFFS];
    let secrets: Vec<_> = lists.concat();
    assert!(secrets.len() >= 50);
    for (text, secret) in secrets {
        // Half of one is as bad.
        for part in [&secret[..secret.len() / 2], &secret[secret.len() / 2..]] {
            assert!(!told.contains(part), "{text}: {part} is told");
        }
    }
    for kept in [
        "user=bob",
        "port = 1",
        "db1:5432/shop failed",
        "a.B.c(D.java:1)",
        "ssh db1",
    ] {
        assert!(told.contains(kept), "{kept} is gone");
    }
}
