//! Somebody with sockets, for tests to run in a network namespace of their own: listens on a free port with a
//! connection over loopback that has 100 bytes unread, and on port 8081 with a connection that called
//! 10.77.0.2:8080. Says on which port it listens, and ends with its standard input.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let mut near = TcpStream::connect(("127.0.0.1", port))?;
    let _far = listener.accept()?;
    near.write_all(&[7; 100])?;
    let translated = TcpListener::bind("0.0.0.0:8081")?;
    let _call = TcpStream::connect("10.77.0.2:8080")?;
    let _answer = translated.accept()?;
    writeln!(io::stdout(), "{port}")?;
    io::copy(&mut io::stdin(), &mut io::sink()).map(|_| ())
}
