use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::shelf::Columns;

/// Answers each request of a connection of its own with the next of these bytes, the last for ever.
async fn serve(listener: TcpListener, answers: Vec<String>) {
    let mut served = 0;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        assert!(request.starts_with(b"GET /metrics HTTP/1.1\r\n"));
        let answer = &answers[served.min(answers.len() - 1)];
        stream.write_all(answer.as_bytes()).await.unwrap();
        served += 1;
    }
}

fn answer(status: &str, text: &str) -> String {
    let length = text.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{text}")
}

/// An endpoint that answers so, and what it left on its shelf after each of its scrapes.
async fn scraped(budget: usize, answers: Vec<String>) -> Vec<Columns> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endpoint: Scrape =
        toml::from_str(&format!("url = \"{url}\"\nseries_budget = {budget}")).unwrap();
    let shelves = Shelves::default();
    let about = ComponentId::host(HostId::new("h1").unwrap());
    let place = shelves.add(about, budget + OWN_SERIES);
    let (count, mut refused, mut found) = (answers.len(), 0, Vec::new());
    let scrapes = async {
        for _ in 0..count {
            once(&endpoint, place, &shelves, &mut refused).await;
            found.push(shelves.take());
        }
    };
    tokio::select! {
        () = serve(listener, answers) => {}
        () = scrapes => {}
    }
    found
}

fn value(columns: &Columns, begins: &str) -> f64 {
    let at = columns
        .series
        .iter()
        .position(|s| s.signal.starts_with(begins));
    columns.values[at.unwrap_or_else(|| panic!("no series {begins}"))]
}

#[tokio::test]
async fn a_text_becomes_samples_and_the_scrape_tells_of_itself() {
    let text = "# TYPE a_total counter\na_total{x=\"1\"} 41\nnonsense\nb NaN\nc 2";
    let found = scraped(9, vec![answer("200 OK", text)]).await;
    assert_eq!(value(&found[0], "a_total{x=\"1\"}"), 41.0);
    assert_eq!(value(&found[0], "c"), 2.0);
    assert!(value(&found[0], "b").is_nan());
    assert_eq!(value(&found[0], "scrape.up{url=\"http://127.0.0.1:"), 1.0);
    assert_eq!(value(&found[0], "scrape.series"), 3.0);
    assert_eq!(value(&found[0], "scrape.over_budget"), 0.0);
    assert_eq!(value(&found[0], "scrape.refused_lines_total"), 1.0);
    assert!(value(&found[0], "scrape.duration_seconds") >= 0.0);
}

#[tokio::test]
async fn a_bad_answer_brings_nothing_but_that_it_was_bad() {
    let broken = answer("200 OK", "a 1\nb 2\n").replace("Length: 8", "Length: 9");
    let found = scraped(
        9,
        vec![
            answer("200 OK", "a 1\n"),
            broken,
            answer("503 Service Unavailable", "a 2\n"),
            "nonsense\r\n\r\n".to_owned(),
        ],
    )
    .await;
    assert_eq!(value(&found[0], "a"), 1.0);
    for bad in &found[1..] {
        assert_eq!(value(bad, "scrape.up"), 0.0);
        assert!(value(bad, "a").is_nan() && value(bad, "scrape.duration").is_nan());
        assert_eq!(bad.series.len(), 1 + OWN_SERIES);
    }
}

#[tokio::test]
async fn buckets_get_what_room_the_others_leave() {
    let text =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_sum 1\nh_count 1\ng 1\n";
    let found = scraped(4, vec![answer("200 OK", text)]).await;
    let kept: Vec<_> = found[0].series[OWN_SERIES..]
        .iter()
        .map(|s| s.signal.as_str())
        .collect();
    assert_eq!(kept, ["h_sum", "h_count", "g", "h_bucket{le=\"1\"}"]);
    assert_eq!(value(&found[0], "scrape.series"), 4.0);
    assert_eq!(value(&found[0], "scrape.over_budget"), 1.0);
}

#[tokio::test]
async fn a_flood_of_series_is_counted_and_not_held() {
    let text: String = (0..1000).map(|n| format!("a{n} 1\n")).collect();
    let found = scraped(10, vec![answer("200 OK", &text)]).await;
    assert_eq!(found[0].series.len(), 10 + OWN_SERIES);
    assert_eq!(value(&found[0], "scrape.over_budget"), 990.0);
}

#[tokio::test(start_paused = true)]
async fn series_are_those_of_who_listens_and_stay_so_while_nobody_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!("url = \"http://{address}\"\ninterval_s = 1");
    let service: ComponentId = "service:h1/a.service".parse().unwrap();
    let listening = std::sync::Mutex::new(Some(service.clone()));
    let owner: Owner = Arc::new(move |asked| {
        assert_eq!(asked, address);
        listening.lock().unwrap().take()
    });
    let (shelves, stop) = (Shelves::default(), CancellationToken::new());
    let ran = run(
        Receivers {
            scrapes: vec![toml::from_str(&text).unwrap()],
            ..Receivers::default()
        },
        Surroundings {
            host: HostId::new("h1").unwrap(),
            owner,
            caller: Arc::new(|_, _| Box::pin(async { None })),
            sender: Arc::new(|_, _| Box::pin(async { None })),
            named: Arc::new(|_| None),
            lines: Arc::new(|_| Box::pin(async {})),
        },
        shelves.clone(),
        stop.clone(),
    );
    let seen = async {
        let mut down = 0;
        while down < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let columns = shelves.take();
            if columns.values.first().is_some_and(|up| *up == 0.0) {
                assert_eq!(columns.series[0].component, service);
                down += 1;
            }
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(ran, seen);
    ended.unwrap();
}
