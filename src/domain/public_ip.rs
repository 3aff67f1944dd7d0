//! Which addresses belong to the public internet, and to no machine and no network of one's own.

use std::net::{IpAddr, Ipv4Addr};

/// An IPv6 address that stands for an IPv4 one, as that.
#[must_use]
pub fn plain_ip(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, compatible, translated, NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        // 6to4 carries it in the middle.
        [0x2002, high, low, ..] => v4(high, low),
        _ => ip,
    }
}

/// Whether an address belongs to the public internet (IANA's special-purpose registries, everything in them refused).
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match plain_ip(ip) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || a == 100 && (64..128).contains(&b)
                || a == 192 && b == 0 && c == 0
                || a == 192 && b == 88 && c == 99
                // AS112 and AMT, and the host of every Azure machine.
                || matches!([a, b, c], [192, 31, 196] | [192, 52, 193] | [192, 175, 48])
                || v4.octets() == [168, 63, 129, 16]
                || a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(v6) => {
            // Global unicast is 2000::/3; in it, what is set aside for protocols and for documents.
            let [first, second, third, _, high, isatap, ..] = v6.segments();
            let protocols = first == 0x2001 && second < 0x200;
            let documents = first == 0x2001 && second == 0xdb8 || first & 0xfff0 == 0x3ff0;
            let as112 = [first, second, third] == [0x2620, 0x4f, 0x8000];
            let isatap = isatap == 0x5efe && high & 0xfdff == 0;
            first & 0xe000 == 0x2000 && !(protocols || documents || as112 || isatap)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses of a machine, of a network, and of protocols.
    const NOT_PUBLIC: &str = "
        0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1
        172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.9.9 198.51.100.7 203.0.113.9
        224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1
        ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:c0a8:101::1 2001::1 2001:db8::1
        168.63.129.16 192.31.196.1 192.52.193.1 192.175.48.42 2620:4f:8000::1 2a00:1450::5efe:8.8.8.8
        2a00:1450::200:5efe:10.0.0.1 3fff::1 fc00::1 fd12:3456::1 fe80::1 fec0::1 ff02::1 100::1 64:ff9b:1::1
    ";

    /// Addresses of the public internet, some beside a range that is not.
    const PUBLIC: &str = "
        1.1.1.1 8.8.8.8 93.184.216.34 100.63.0.1 172.32.0.1 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8
    ";

    #[test]
    fn only_the_public_internet_is_public() {
        for text in NOT_PUBLIC.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in PUBLIC.split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
