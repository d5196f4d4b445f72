//! URLs that must never be called, whoever asks: private addresses in every spelling that some parser or resolver takes
//! for one, names of somebody's own network, and URLs that two parsers read differently. Other crates' tests include
//! this file by its path.

use std::net::Ipv4Addr;

/// All of them, more than 200; those that could be answered by a server on this machine point to `port`.
pub(crate) fn urls(port: u16) -> Vec<String> {
    let mut urls = Vec::new();
    let addresses = [
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [10, 0, 0, 1],
        [192, 168, 1, 1],
        [0, 0, 0, 0],
    ];
    for host in addresses.into_iter().flat_map(spellings) {
        urls.push(format!("https://{host}:{port}/"));
    }
    for host in HOSTS {
        urls.push(format!("https://{host}:{port}/"));
        urls.push(format!("https://{host}/"));
    }
    urls.extend(FORMS.iter().map(|url| url.replace("PORT", &port.to_string())));
    urls
}

/// The ways in which people and programs have written one IPv4 address.
fn spellings([a, b, c, d]: [u8; 4]) -> Vec<String> {
    let number = u32::from(Ipv4Addr::new(a, b, c, d));
    let low = number & 0xff_ffff;
    let (high, rest) = (u32::from(a) << 8 | u32::from(b), number & 0xffff);
    let dotted = format!("{a}.{b}.{c}.{d}");
    let mut all = vec![
        dotted.clone(),
        format!("{dotted}."),
        format!("{number}"),
        format!("0x{number:x}"),
        format!("0X{number:08X}"),
        format!("0{number:o}"),
        format!("{a}.{low}"),
        format!("{a}.{b}.{}", number & 0xffff),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:04o}.{b}.0x{c:x}.{d}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("{a}.{b}.{c}.0x{d:x}"),
        // Escapes and other alphabets, which a lenient parser maps to digits and dots.
        dotted.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        dotted.replace('.', "%2e"),
        dotted.replace('.', "\u{3002}"),
        dotted.replace('.', "\u{ff0e}"),
        wide(&dotted, 0xff10),
        wide(&dotted, 0x1d7ce),
        format!("{a}.{b}.{c}.xn--{d}-"),
        // The same inside of IPv6: mapped, compatible, 6to4, Teredo, NAT64, a network's own NAT64.
        format!("[::ffff:{dotted}]"),
        format!("[::ffff:{high:x}:{rest:x}]"),
        format!("[0:0:0:0:0:ffff:{high:x}:{rest:x}]"),
        format!("[::{dotted}]"),
        format!("[::ffff:0:{dotted}]"),
        format!("[2002:{high:x}:{rest:x}::1]"),
        format!("[2001:0:{high:x}:{rest:x}::1]"),
        format!("[2001::{:x}:{:x}]", high ^ 0xffff, rest ^ 0xffff),
        format!("[64:ff9b::{dotted}]"),
        format!("[64:ff9b:1::{dotted}]"),
    ];
    all.dedup();
    all
}

/// The digits of another block of Unicode.
fn wide(text: &str, zero: u32) -> String {
    let digit = |c: char| c.to_digit(10).and_then(|digit| char::from_u32(zero + digit));
    text.chars().map(|c| digit(c).unwrap_or(c)).collect()
}

const HOSTS: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "api.localhost",
    "ip6-localhost",
    "xn--localhost-",
    "\u{ff4c}ocalhost",
    "loc%61lhost",
    "metadata",
    "metadata.google.internal",
    "instance-data.ec2.internal",
    "kubernetes.default.svc.cluster.local",
    "router.lan",
    "printer.home.arpa",
    "1.0.0.127.in-addr.arpa",
    "vault.corp",
    "nas.home",
    "wiki.intranet",
    "db",
    "100.64.0.1",
    "100.100.100.200",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "168.63.129.16",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[2001:10::1]",
    "[3fff::1]",
    "[100::1]",
    "[5f00::1]",
];

const FORMS: &[&str] = &[
    "",
    "/",
    "hooks.souk.example",
    "//hooks.souk.example/",
    "http://hooks.souk.example/",
    "http://127.0.0.1:PORT/",
    "https:hooks.souk.example/",
    "https:/hooks.souk.example/",
    "https:///hooks.souk.example/",
    "https:\\\\hooks.souk.example\\",
    "https:// hooks.souk.example/",
    " https://hooks.souk.example/",
    "https://hooks.souk.example/ ",
    "https://hooks.souk.example/\r\nx: y",
    "https://hooks.souk\t.example/",
    "https://hooks.souk.example\n/",
    "ht\ntps://127.0.0.1:PORT/",
    "\u{0}https://hooks.souk.example/",
    "https://hooks.souk.example/#fragment",
    "https://127.0.0.1:PORT#.hooks.souk.example/",
    "https://127.0.0.1:PORT?.hooks.souk.example/",
    "https://127.0.0.1:PORT\\.hooks.souk.example/",
    "https://user@hooks.souk.example/",
    "https://user:secret@hooks.souk.example/",
    "https://hooks.souk.example@127.0.0.1:PORT/",
    "https://hooks.souk.example:443@127.0.0.1:PORT/",
    "https://127.0.0.1:PORT\\@hooks.souk.example/",
    "https://hooks.souk.example\\@127.0.0.1:PORT/",
    "https://@127.0.0.1:PORT/",
    "https://hooks.souk.example:0/",
    "https://hooks.souk.example:65536/",
    "https://hooks.souk.example:-1/",
    "https://hooks.souk.example:+443/",
    "https://hooks.souk.example:/",
    "https://hooks.souk.example:443:PORT/",
    "https://127.0.0.1:PORT:443/",
    "https://hooks.souk.example:4e2/",
    "https://hooks..souk.example/",
    "https://.souk.example/",
    "https://-hooks.souk.example/",
    "https://hooks-.souk.example/",
    "https://hooks_1.souk.example/",
    "https://hooks.souk.example./",
    "https://hooks.souk.example%00.127.0.0.1/",
    "https://hooks.souk.example%2f@127.0.0.1:PORT/",
    "https://[hooks.souk.example]/",
    "https://[::1/",
    "https://::1]:PORT/",
    "https://[::1]127.0.0.1:PORT/",
    "https://[127.0.0.1]:PORT/",
    "https://*.souk.example/",
    "https://souk.example,127.0.0.1:PORT/",
    "https://souk.example;127.0.0.1:PORT/",
    "https://1.1.1.1 &@127.0.0.1:PORT# @10.0.0.1/",
    "ftp://127.0.0.1:PORT/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/_GET",
    "dict://127.0.0.1:PORT/d",
    "ws://127.0.0.1:PORT/",
    "unix:///var/run/docker.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "jar:https://127.0.0.1:PORT/!/",
    "blob:https://127.0.0.1:PORT/x",
];
