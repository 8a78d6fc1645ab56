//! Calls of gRPC over a real connection.

use super::*;

/// A call of gRPC to a real port: status, trailers' status and message, and the answer.
async fn called(
    address: SocketAddr,
    service: &str,
    packed: bool,
    message: &[u8],
) -> (u16, String, Option<ExportResponse>) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
        .await
        .unwrap();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[u8::from(packed)][..], &length, message].concat();
    let request = Request::post(format!(
        "http://{address}/opentelemetry.proto.collector.{service}/Export"
    ))
    .header("content-type", "application/grpc")
    .header("grpc-encoding", "gzip")
    .header("te", "trailers")
    .body(Full::new(Bytes::from(body)))
    .unwrap();
    let asked = async move {
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await.unwrap();
        let code = answer.trailers().unwrap()["grpc-status"].clone();
        let bytes = answer.to_bytes();
        let message = bytes.get(5..).map(|m| ExportResponse::decode(m).unwrap());
        (status, code.to_str().unwrap().to_owned(), message)
    };
    tokio::select! {
        answer = asked => answer,
        _ = connection => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn calls_of_grpc_are_taken_plain_and_packed_and_refused_with_their_code() {
    let desk = Arc::new(desk(9));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let calls = async {
        let metrics = "metrics.v1.MetricsService";
        let message = levels("shop", &["a", "no name"]).encode_to_vec();
        let (status, code, answer) = called(address, metrics, false, &message).await;
        assert_eq!((status, code.as_str()), (200, "0"));
        assert_eq!(answer.unwrap().partial_success.unwrap().rejected, 1);
        let mut packing = GzEncoder::new(Vec::new(), Compression::fast());
        packing
            .write_all(&levels("shop", &["b"]).encode_to_vec())
            .unwrap();
        let (_, code, answer) = called(address, metrics, true, &packing.finish().unwrap()).await;
        assert_eq!(
            (code.as_str(), answer),
            ("0", Some(ExportResponse::default()))
        );
        let (_, code, answer) = called(address, metrics, false, b"x").await;
        assert_eq!((code.as_str(), answer), ("3", None));
        let (status, code, _) = called(address, "profiles.v1.ProfilesService", false, b"").await;
        assert_eq!((status, code.as_str()), (200, "12"));
        let (_, code, _) = called(
            address,
            metrics,
            false,
            &vec![0; body::MESSAGE_LIMIT_BYTES + 1],
        )
        .await;
        assert_eq!(code, "8");
    };
    tokio::select! {
        () = serve::accept(&listener, Speaks::Grpc, &desk) => panic!("the port failed"),
        () = calls => {}
    }
    let told = told(&places(&desk));
    for expected in [
        "service:h1/shop.service a 7",
        "service:h1/shop.service b 7",
        "host:h1 otlp.requests_total 5",
        "host:h1 otlp.refused_requests_total 3",
    ] {
        assert!(
            told.contains(&expected.to_owned()),
            "{expected} in {told:?}"
        );
    }
}
