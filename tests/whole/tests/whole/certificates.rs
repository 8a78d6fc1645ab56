//! Certificates: from a file that only configuration names to what a responder can ask for.

use firstlook_whole::{Host, House, until};
use serde_json::Value;

/// Self-signed, valid to 2026-11-01.
const CERTIFICATE: &str = include_str!("../../../../agent/sources/events/fixtures/shop.crt");
const ENDS_AT_SECONDS: f64 = 1_793_491_200.0;

#[test]
fn the_end_of_a_certificate_that_configuration_names_is_asked_for_like_any_signal() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    let (folder, site) = (house.path("site"), house.path("site.crt"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&site, CERTIFICATE).unwrap();
    let config = folder.join("site.conf");
    std::fs::write(&config, format!("ssl_certificate {};\n", site.display())).unwrap();
    host.configure(&format!("[watch]\nconfig_paths = [{config:?}]\n"));
    let signal = format!("certificate.ends_at_seconds{{file=\"{}\"}}", site.display());
    let ends = until("the series of the certificate", || {
        let said = house.ask(&["metrics", "host:h1", &signal, "--json"]);
        let document: Value = serde_json::from_str(&said.out).ok()?;
        let points = document["series"][0]["points"].as_array()?;
        points.last()?[1].as_f64()
    });
    assert_eq!(ends, ENDS_AT_SECONDS);
}
