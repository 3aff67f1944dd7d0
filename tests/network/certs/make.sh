#!/bin/sh
# Makes the certificates of the tests. They are good until 2126; the keys protect nothing.
set -eu
cd "$(dirname "$0")"
rm -rf ca-work && mkdir ca-work && : >ca-work/index.txt && echo 01 >ca-work/serial
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
cat >ca-work/conf <<CONF
[ca]
default_ca = here
[here]
dir = ca-work
database = ca-work/index.txt
serial = ca-work/serial
new_certs_dir = ca-work
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = none
prompt = no
[none]
CONF
key ca.key
openssl req -x509 -new -key ca.key -subj "/CN=Test CA" -days 36500 -out ca.pem -config ca-work/conf \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
key server.key
leaf() { # name, subjectAltName, from, to, issuer
    printf 'subjectAltName=%s\n%s' "$2" "${6:-}" >ca-work/ext
    openssl req -new -key server.key -subj "/CN=$1" -config ca-work/conf -out ca-work/csr
    openssl ca -batch -notext -config ca-work/conf -cert "$5.pem" -keyfile "$5.key" -in ca-work/csr -out "$1.pem" \
        -startdate "$3" -enddate "$4" -extfile ca-work/ext
}
good="IP:127.0.0.1,DNS:localhost,DNS:market.test"
leaf good "$good" 20200101000000Z 21260101000000Z ca
leaf expired "$good" 20200101000000Z 20210101000000Z ca
leaf future "$good" 20990101000000Z 21260101000000Z ca
leaf other-name "DNS:elsewhere.example" 20200101000000Z 21260101000000Z ca
leaf client-only "$good" 20200101000000Z 21260101000000Z ca "extendedKeyUsage=clientAuth"
key other.key
openssl req -x509 -new -key other.key -subj "/CN=Other CA" -days 36500 -out other.pem -config ca-work/conf \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
leaf stranger "$good" 20200101000000Z 21260101000000Z other
# Not an authority: what it signs is not to be believed.
cp good.pem notca.pem && cp server.key notca.key
leaf by-a-leaf "$good" 20200101000000Z 21260101000000Z notca
cat by-a-leaf.pem good.pem >by-a-leaf-chain.pem
openssl req -x509 -new -key server.key -subj "/CN=self" -days 36500 -out self-signed.pem -config ca-work/conf \
    -addext "subjectAltName=$good"
rm -rf ca-work notca.* by-a-leaf.pem other.key ca.key
