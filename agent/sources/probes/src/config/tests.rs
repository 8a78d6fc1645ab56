use super::*;

fn probe(target: &str) -> Probe {
    toml::from_str(&format!("name = \"p\"\n{target}")).unwrap()
}

#[test]
fn what_is_wrong_with_a_probe_is_named() {
    for (wrong, named) in [
        ("", "exactly one"),
        (
            "tcp = { address = \"[::1]:1\" }\nfile = { path = \"/x\", max_age_s = 1 }",
            "exactly one",
        ),
        ("file = { path = \"x\", max_age_s = 1 }", "absolute"),
        (
            "interval_s = 0\ntcp = { address = \"[::1]:1\" }",
            "interval_s",
        ),
        (
            "deadline_s = 11\ntcp = { address = \"[::1]:1\" }",
            "deadline_s",
        ),
        ("service = \"\"\ntcp = { address = \"[::1]:1\" }", "service"),
        (
            "http = { address = \"[::1]:1\", path = \"x\" }",
            "http.path",
        ),
        (
            "http = { address = \"[::1]:1\", host = \"a b\" }",
            "http.host",
        ),
        (
            "http = { address = \"[::1]:1\", contains = \"\" }",
            "contains",
        ),
        (
            "http = { address = \"[::1]:1\", verify = false }",
            "tls = true",
        ),
        (
            "http = { address = \"[::1]:1\", tls = true, ca_file = \"x\" }",
            "http.ca_file",
        ),
        (
            "http = { address = \"a:1\", tls = true, host = \"..:1\" }",
            "http.host",
        ),
        ("tls = { address = \"a:1\", min_days = 3651 }", "min_days"),
        ("tls = { address = \"a:1\", host = \"a b\" }", "tls.host"),
        (
            "tls = { address = \"a:1\", ca_file = \"x\" }",
            "tls.ca_file",
        ),
        ("dns = { name = \"a..b\" }", "dns.name"),
        (
            "dns = { name = \"a\", record = \"A\", expect = \"::1\" }",
            "dns.expect",
        ),
        ("unit = { name = \"nginx\" }", "unit.name"),
    ] {
        let error = check(&[probe(wrong)]).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn names_are_unique_and_probes_are_few() {
    let fine = probe("tcp = { address = \"[::1]:1\" }");
    assert_eq!(check(std::slice::from_ref(&fine)), Ok(()));
    let twice = [fine.clone(), fine.clone()];
    assert_eq!(check(&twice), Err(Fault::Twice("p".to_owned())));
    assert_eq!(check(&vec![fine; 65]), Err(Fault::TooMany(65)));
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    #[derive(Deserialize)]
    struct File {
        probe: Vec<Probe>,
    }
    let page = include_str!("../../../../../docs/probes.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let file: File = toml::from_str(example).unwrap();
    assert_eq!(check(&file.probe), Ok(()));
    let kinds: BTreeSet<_> = file.probe.iter().map(Probe::parts).collect();
    assert_eq!(kinds.len(), 7, "one of each kind");
}

#[test]
fn a_probe_is_about_its_service_or_unit_or_the_host() {
    let host = HostId::new("h1").unwrap();
    for (target, about) in [
        ("tcp = { address = \"a:1\" }", "host:h1"),
        ("unit = { name = \"b.service\" }", "service:h1/b.service"),
        (
            "service = \"c.service\"\nunit = { name = \"b.service\" }",
            "service:h1/c.service",
        ),
    ] {
        assert_eq!(probe(target).component(&host).to_string(), about);
    }
}

#[test]
fn what_a_probe_asks_is_told_for_people() {
    for (target, told) in [
        ("tcp = { address = \"[::1]:1\" }", "tcp [::1]:1"),
        (
            "http = { address = \"a:80\", path = \"/b\" }",
            "http a:80/b",
        ),
        ("http = { address = \"a:443\", tls = true }", "https a:443/"),
        ("tls = { address = \"a:443\" }", "tls a:443"),
        ("dns = { name = \"a.b\" }", "dns a.b"),
        ("file = { path = \"/a\", max_age_s = 1 }", "file /a"),
        ("unit = { name = \"a.service\" }", "unit a.service"),
    ] {
        assert_eq!(probe(target).asks(), told);
    }
}

#[test]
fn a_name_over_tls_is_that_of_the_host_without_its_port() {
    for (target, name) in [
        ("http = { address = \"[::1]:443\", tls = true }", "::1"),
        (
            "http = { address = \"[::1]:1\", tls = true, host = \"a.b:8443\" }",
            "a.b",
        ),
        (
            "http = { address = \"[::1]:1\", tls = true, host = \"a.b\" }",
            "a.b",
        ),
    ] {
        assert_eq!(probe(target).http.unwrap().server_name(), name);
    }
}
