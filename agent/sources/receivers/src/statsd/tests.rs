use super::*;
use crate::shelf::Columns;

fn value(columns: &Columns, signal: &str) -> Option<f64> {
    let at = columns.series.iter().position(|s| s.signal == signal)?;
    Some(columns.values[at])
}

fn nobody() -> Caller {
    std::sync::Arc::new(|_, _| Box::pin(async { None }))
}

/// About whom a count is that is sent to a receiver which knows the sender as the service `pay`.
async fn about_whom(service: Option<&str>) -> String {
    let port = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let statsd = Statsd {
        listen: port.local_addr().unwrap(),
        service: service.map(str::to_owned),
        ..Statsd::default()
    };
    drop(port);
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (from, to) = (sender.local_addr().unwrap(), statsd.listen);
    let caller: Caller = std::sync::Arc::new(move |asked, at| {
        assert_eq!((asked, at), (from, to));
        Box::pin(async { "service:h1/pay.service".parse().ok() })
    });
    let shelves = Shelves::default();
    let about = statsd.about(&HostId::new("h1").unwrap());
    let place = shelves.add(about, 9 + OWN_SERIES);
    let seen = async {
        loop {
            // Refused while nobody listens yet.
            let _ = sender.send_to(b"orders:1|c", to).await;
            sleep(Duration::from_millis(300)).await;
            let columns = shelves.take();
            if let Some(orders) = columns.series.iter().find(|s| s.signal == "orders_total") {
                return orders.component.to_string();
            }
        }
    };
    tokio::select! {
        () = receive(statsd, caller, shelves.clone(), place) => panic!("it ended"),
        whom = seen => whom,
    }
}

#[tokio::test(start_paused = true)]
async fn a_declared_service_comes_before_the_one_that_sends() {
    assert_eq!(
        about_whom(Some("shop.service")).await,
        "service:h1/shop.service"
    );
    assert_eq!(about_whom(None).await, "service:h1/pay.service");
}

#[tokio::test(start_paused = true)]
async fn datagrams_become_samples_and_what_is_refused_is_counted() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.connect(socket.local_addr().unwrap()).await.unwrap();
    for datagram in [
        &b"orders:2|c\norders:1|c|#kind:new\r\n\nnonsense\n"[..],
        b"\xff:1|c",
        b"queue:7|g",
        b"late:1|c",
        b"later:1|c",
    ] {
        sender.send(datagram).await.unwrap();
    }
    let statsd: Statsd = toml::from_str("service = \"shop.service\"\nseries_budget = 4").unwrap();
    let about = statsd.about(&HostId::new("h1").unwrap());
    assert_eq!(about.to_string(), "service:h1/shop.service");
    let shelves = Shelves::default();
    let place = shelves.add(about, statsd.series_budget + OWN_SERIES);
    let onto = Onto {
        shelves: &shelves,
        place,
    };
    let (mut counts, mut senders) = (Counts::default(), None);
    let seen = async {
        let (mut last, mut queue) = (None, f64::NAN);
        // A gauge stands in the one telling after it came.
        while last.is_none_or(|lines: f64| lines.is_nan() || lines < 1.0) || queue.is_nan() {
            sleep(Duration::from_millis(100)).await;
            let columns = shelves.take();
            queue = value(&columns, "queue")
                .filter(|v| !v.is_nan())
                .unwrap_or(queue);
            last = value(&columns, "statsd.over_budget_total")
                .filter(|v| !v.is_nan())
                .or(last);
            if let Some(lines) = value(&columns, "statsd.refused_lines_total")
                && lines > 0.0
            {
                assert_eq!(lines, 2.0);
                assert_eq!(value(&columns, "statsd.packets_total"), Some(5.0));
                assert_eq!(value(&columns, "statsd.up"), Some(1.0));
            }
        }
        assert_eq!(queue, 7.0);
        shelves.take()
    };
    let columns = tokio::select! {
        () = receive_from(&socket, &statsd, &mut senders, &onto, &mut counts) => panic!("it ended"),
        columns = seen => columns,
    };
    let names: Vec<_> = columns.series[OWN_SERIES..]
        .iter()
        .map(|s| s.signal.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "late_total",
            "orders_total",
            "orders_total{kind=\"new\"}",
            "queue"
        ]
    );
    assert_eq!(counts.no_room, 1);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_is_told_and_tried_again() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let statsd = Statsd {
        listen: taken.local_addr().unwrap(),
        ..Statsd::default()
    };
    let shelves = Shelves::default();
    let host = ComponentId::host(HostId::new("h1").unwrap());
    let place = shelves.add(host, OWN_SERIES);
    let mut taken = Some(taken);
    let seen = async {
        loop {
            sleep(Duration::from_millis(300)).await;
            match value(&shelves.take(), "statsd.up") {
                Some(0.0) => drop(taken.take()),
                Some(1.0) => break,
                _ => {}
            }
        }
    };
    tokio::select! {
        () = receive(statsd, nobody(), shelves.clone(), place) => {}
        () = seen => {}
    }
    assert!(taken.is_none());
}
