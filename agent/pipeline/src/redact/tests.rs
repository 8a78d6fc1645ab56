use proptest::prelude::*;

use super::*;

fn redactor() -> Redactor {
    Redactor::new(&[]).unwrap()
}

/// Each line holds the canary, which must be gone, and the words after it, which must stay.
const CANARIES: &[(&str, &[&str])] = &[
    ("password=C4nary-x user=bob", &["password=", "user=bob"]),
    (
        "user=bob, password=C4nary-x, host=db1",
        &["user=bob", "host=db1"],
    ),
    ("passwd: C4nary-x", &["passwd:"]),
    ("DB_PASSWORD=C4nary-x ./run", &["./run"]),
    ("PGPASSWORD='C4nary-x y z' psql -h db1", &["psql -h db1"]),
    (
        r#"{"user":"bob","password":"C4nary-x","port":5432}"#,
        &["bob", "5432"],
    ),
    (
        r#"{"password": "a\"C4nary-x", "port": 1}"#,
        &["\"port\": 1"],
    ),
    (r#"body="{\"api_key\":\"C4nary-x\",\"n\":1}""#, &["n"]),
    ("{'secret': 'C4nary-x', 'n': 1}", &["'n': 1"]),
    ("{:token=>\"C4nary-x\", :n=>1}", &[":n=>1"]),
    (
        "Config{User:bob ClientSecret:C4nary-x Port:1}",
        &["User:bob", "Port:1"],
    ),
    (
        "GET /login?user=bob&token=C4nary-x&page=2 200",
        &["user=bob", "page=2 200"],
    ),
    ("GET /cb?access_token=C4nary-x HTTP/1.1", &["HTTP/1.1"]),
    ("Authorization: Bearer C4nary-xyz", &["Authorization"]),
    ("Authorization: Basic C4naryx=", &["Authorization"]),
    (
        "proxy-authorization: Negotiate C4nary-x",
        &["proxy-authorization"],
    ),
    (
        "curl -H 'Authorization: token C4nary-x' https://api.example/",
        &["https://api.example/"],
    ),
    (
        "curl -u bob:C4nary-x https://api.example/",
        &["bob", "https://api.example/"],
    ),
    (
        "sent Bearer C4nary1x8877665544 upstream",
        &["sent", "upstream"],
    ),
    ("Cookie: sid=C4nary-x; theme=dark", &["Cookie"]),
    ("Set-Cookie: session=C4nary-x; HttpOnly", &["Set-Cookie"]),
    (
        "connect postgres://app:C4nary-x@db1:5432/shop failed",
        &["app", "db1:5432/shop failed"],
    ),
    ("amqp://app:C4na/ry-x@mq1/", &["mq1"]),
    (
        "clone https://C4naryabcdefghijklmnop@git.example/r.git",
        &["git.example"],
    ),
    ("dsn app:C4nary-x@tcp(db1:3306)/shop", &["app", "db1:3306"]),
    (
        "Server=db;User Id=sa;Password=C4nary-x;Timeout=3",
        &["Timeout=3"],
    ),
    (
        "AccountName=a;AccountKey=C4naryAbc+/==;EndpointSuffix=x",
        &["EndpointSuffix=x"],
    ),
    ("mysqldump -uroot -pC4nary-x shop", &["-uroot", "shop"]),
    ("sshpass -p C4nary-x ssh db1", &["ssh db1"]),
    ("redis-cli -a C4nary-x ping", &["ping"]),
    ("app --password C4nary-x --port 80", &["--port 80"]),
    ("app --api-key=C4nary-x --port 80", &["--port 80"]),
    (
        "ALTER USER app WITH PASSWORD 'C4nary-x' VALID",
        &["ALTER USER app", "VALID"],
    ),
    (
        "CREATE USER 'a' IDENTIFIED BY 'C4nary-x' REQUIRE",
        &["REQUIRE"],
    ),
    (
        "<password>C4nary-x</password><port>1</port>",
        &["<port>1</port>"],
    ),
    ("<bean password=\"C4nary-x\" port=\"1\"/>", &["port=\"1\""]),
    (
        "-----BEGIN RSA PRIVATE KEY-----\\nC4nary\\n-----END RSA PRIVATE KEY----- ok",
        &["ok"],
    ),
    ("-----BEGIN PRIVATE KEY----- C4nary", &["PRIVATE KEY"]),
    ("id AKIAC4NARYC4NARYC4NA used", &["id", "used"]),
    (
        "jwt eyJC4naryAAAA.eyJzdWIiOiIxIn0.sig-x_y used",
        &["jwt", "used"],
    ),
    (
        "push ghp_C4naryC4naryC4naryC4nary failed",
        &["push", "failed"],
    ),
    ("slack xoxb-C4nary-123456-abc failed", &["slack", "failed"]),
    ("stripe sk_live_C4naryC4nary failed", &["stripe", "failed"]),
    (
        "post https://hooks.slack.com/services/T0/B0/C4nary failed",
        &["failed"],
    ),
    (
        "root:$6$salt$C4naryC4naryC4nary:19000:0",
        &["root", ":19000:0"],
    ),
    ("session=C4nary9f86d081884c7d659a2f user=bob", &["user=bob"]),
    ("key=C4nary9f86d081884c7d659a2f n=1", &["n=1"]),
    ("%7B%22password%22%3A%22C4nary-x%22%7D", &["%7B"]),
    ("params[password]=C4nary-x&n=1", &["n=1"]),
    ("spring.datasource.password=C4nary-x", &["spring"]),
    ("otp=C4nary", &["otp"]),
    ("kwargs: password=b'C4nary-x', n=1", &["n=1"]),
    ("tokens: [\"C4nary-x\", \"C4nary-y\"], n: 1", &["n: 1"]),
    (
        "login password=hu&C4nary,x;C4nary-x user=bob",
        &["user=bob"],
    ),
];

const INNOCENT: &[&str] = &[
    "Failed password for invalid user admin from 192.0.2.7 port 4711 ssh2",
    "Accepted publickey for root from 192.0.2.7 port 4711 ssh2: RSA SHA256:9f86d081884c7d659a2feaa0c55ad015",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7 user=root",
    "SyntaxError: Unexpected token < in JSON at position 0",
    "max_tokens=512 tokens: 17 secrets: 3",
    "open /run/secrets/db.key: permission denied",
    "password_file=/etc/app/password token_type=bearer",
    "Bearer authentication failed",
    "Basic authentication is disabled",
    "error: use of undeclared identifier token::parse",
    "if token == nil { return }",
    "key=user:42:profile ttl=300",
    "get key=logs/2024/01/02/app-7.log bucket=archive",
    "primary key violation: key (id)=(550e8400-e29b-41d4-a716-446655440000) already exists",
    "session=550e8400-e29b-41d4-a716-446655440000 closed",
    "GET https://api.example:8443/v1/items?page=2 200 12ms",
    "connected to postgres://app@db1:5432/shop",
    "git clone ssh://git@git.example/r.git",
    "listening on [akka.tcp://shopExecutorActorSystem@worker-07:55904]",
    "assigned container, Token: Token { kind: ContainerToken }",
    "password=${DB_PASSWORD} token={{ .Token }}",
    "password=*** token=[redacted]",
    "password: required",
    "17 tests pass: 3 skipped",
    "PWD=/var/lib/app HOME=/root",
    "docker run -u 1000:1000 app",
    "ps -p 4711 -o pid",
    "-----BEGIN CERTIFICATE----- MIIB",
    "keyboard.key pressed author=bob monkey=12",
    "signal: sig=11 cookie count 4",
    "eyjafjallajokull erupted.today.again",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b pushed",
];

#[test]
fn canaries_do_not_sing() {
    let redactor = redactor();
    for (line, kept) in CANARIES {
        let out = redactor.line(line);
        assert!(!out.contains("C4na"), "{line} → {out}");
        assert!(!out.contains("ry-x"), "{line} → {out}");
        assert!(out.contains(REDACTED), "{line} → {out}");
        assert_eq!(redactor.line(&out), out, "what was redacted stays as it is");
        for word in *kept {
            assert!(out.contains(word), "{line} → {out} lacks {word}");
        }
    }
}

#[test]
fn innocent_lines_stay_whole() {
    let redactor = redactor();
    for line in INNOCENT {
        assert_eq!(redactor.line(line), *line);
    }
}

#[test]
fn settings_lose_their_whole_value() {
    let text = "\
# main
password: C4nary one two
requirepass C4nary
  api_key = C4nary; C4nary
port: 5432
ssl_password_file /etc/pass
secret: |
  C4nary
  C4nary

host: db1
-masterauth C4nary
PasswordAuthentication no
url = postgres://app:C4nary@db1/shop
-----BEGIN PRIVATE KEY-----
C4naryC4nary
-----END PRIVATE KEY-----
last: line
";
    let out = redactor().text(text);
    assert!(!out.contains("C4nary"), "{out}");
    for kept in [
        "# main",
        "port: 5432",
        "ssl_password_file /etc/pass",
        "host: db1",
        "PasswordAuthentication no",
        "postgres://app:",
        "@db1/shop",
        "-----END PRIVATE KEY-----",
        "last: line",
    ] {
        assert!(out.contains(kept), "{out} lacks {kept}");
    }
    assert_eq!(out.lines().count(), text.lines().count());
}

#[test]
fn block_values_are_gone_from_a_diff_too() {
    let text = " host: db1\n-  secret: |\n-    C4nary\n+  secret: |\n+    C4nary\n+\n+    C4nary\n   port: 1\n";
    let out = redactor().text(text);
    assert!(!out.contains("C4nary"), "{out}");
    assert!(
        out.contains("   port: 1") && out.contains(" host: db1"),
        "{out}"
    );
}

#[test]
fn own_rules_redact_their_group_or_all() {
    let rule = |pattern: &str| Rule {
        name: "own".to_owned(),
        pattern: pattern.to_owned(),
    };
    let redactor = Redactor::new(&[rule(r"\bCUST-\d+"), rule(r"iban (?P<secret>\w+)")]).unwrap();
    assert_eq!(
        redactor.line("CUST-12 paid by iban DE99 today"),
        "[redacted] paid by iban [redacted] today"
    );
}

#[test]
fn unfit_rules_are_refused_by_name() {
    let bad = |pattern: String| {
        let name = "mine".to_owned();
        Redactor::new(&[Rule { name, pattern }])
            .unwrap_err()
            .to_string()
    };
    for pattern in ["(", "x*", "(?:\\w{500}){500}", &"a".repeat(5_000)] {
        assert!(bad(pattern.to_owned()).contains("mine"), "{pattern:.20}");
    }
    let rule = Rule {
        name: "r".to_owned(),
        pattern: "a".to_owned(),
    };
    assert!(matches!(
        Redactor::new(&vec![rule; RULES_LIMIT + 1]),
        Err(RedactError::TooMany(_))
    ));
}

proptest! {
    #[test]
    fn any_text_is_redacted_without_panic(
        text in "(password|token|key|://|@|:|=| |\"|'|\\\\|eyJ|Bearer |-----BEGIN PRIVATE KEY-----|\\[|é|%22|[a-zA-Z0-9./-]{1,9}){0,40}"
    ) {
        let redactor = redactor();
        let out = redactor.line(&text).into_owned();
        prop_assert!(out.len() <= text.len() + text.len() / 2 * REDACTED.len() + REDACTED.len());
        redactor.text(&text.replace(' ', "\n"));
    }

    #[test]
    fn a_password_in_json_never_survives(password in "[a-zA-Z0-9!#$&()*+,./:;<=>?@^_`{|}~-]{6,40}") {
        // What the value tables call harmless is no password that this test is about.
        prop_assume!(!value::is_harmless(&password));
        let line = format!(r#"{{"user":"bob","password":"{password}","n":1}}"#);
        let out = redactor().line(&line).into_owned();
        prop_assert_eq!(out, r#"{"user":"bob","password":"[redacted]","n":1}"#);
    }
}
