use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;

use super::*;

const REQUEST: &str = "GET /chat HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: keep-alive, Upgrade\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13";

fn request(text: &str) -> Request {
    let head = format!("{}\r\n\r\n", text.replace('\n', "\r\n"));
    Request::try_parse(head.as_bytes()).unwrap().unwrap().1
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn fields(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, HeaderValue::from_static(value));
    }
    map
}

#[test]
fn the_clients_order_decides_among_subprotocols() {
    let asking = request(&format!("{REQUEST}\nSec-WebSocket-Protocol: x, b\nSec-WebSocket-Protocol: a"));
    let choose = |spoken: &[&str]| {
        let chosen = choose(asking.headers(), &names(spoken))?;
        Ok(chosen.map(|name| name.to_str().unwrap().to_owned()))
    };
    assert_eq!(choose(&["a", "b"]), Ok(Some("b".to_owned())));
    assert_eq!(choose(&["a"]), Ok(Some("a".to_owned())));
    assert_eq!(choose(&[]), Ok(None));
    let none = |offered: &str| WebSocketError::NoSubprotocol { offered: offered.to_owned() };
    assert_eq!(choose(&["A"]), Err(none("x, b, a")));
    assert_eq!(super::choose(request(REQUEST).headers(), &names(&["c"])), Err(none("none")));
}

#[test]
fn what_the_library_does_not_check_of_a_request_is_checked() {
    let chat = WebSocketResource { path: "/chat".to_owned(), subprotocols: Vec::new() };
    let status = |text: &str| examine(&request(text), Some(&chat)).map_err(|(_, status)| status.as_u16());
    assert_eq!(status(REQUEST), Ok(None));
    assert_eq!(status(&REQUEST.replace("/chat", "http://a/chat")), Ok(None), "RFC 6455 4.2.1");
    assert_eq!(status(&REQUEST.replace("/chat", "/chat?")), Err(404));
    assert_eq!(status(&REQUEST.replace("Host", "Hostess")), Err(400));
    for twice in ["Host: b", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="] {
        assert_eq!(status(&format!("{REQUEST}\n{twice}")), Err(400), "{twice}");
    }
}

#[test]
fn what_the_library_does_not_check_of_an_answer_is_checked() {
    let accept = (SEC_WEBSOCKET_ACCEPT, "a");
    assert_eq!(judge(&fields(std::slice::from_ref(&accept))), Ok(None));
    let chosen = fields(&[accept.clone(), (SEC_WEBSOCKET_PROTOCOL, "b")]);
    assert_eq!(judge(&chosen), Ok(Some("b".to_owned())));
    for more in [(SEC_WEBSOCKET_ACCEPT, "a"), (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate")] {
        let answer = fields(&[accept.clone(), more]);
        assert!(matches!(judge(&answer), Err(WebSocketError::Handshake(_))), "{answer:?}");
    }
    let two = fields(&[accept, (SEC_WEBSOCKET_PROTOCOL, "b"), (SEC_WEBSOCKET_PROTOCOL, "c")]);
    assert!(matches!(judge(&two), Err(WebSocketError::Handshake(_))));
}
