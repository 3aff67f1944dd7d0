//! The verdict on each format: whole, half, without its last bytes, header only, flat, animated, huge.

use std::fs::{self, OpenOptions};

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{Frame, ImageFormat, Rgb, RgbImage, RgbaImage};

use sha2::{Digest, Sha256};

use super::{judge, open_unchanged};
use crate::domain::deliverable::{Deliverable, MediaError};
use crate::domain::limits::MAX_UPLOAD_BYTES;
use crate::domain::order::hex;

fn verdict(name: &str, content: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    judge(folder.path(), &path).map(|fit| fit.content_type).map_err(|error| error.to_string())
}

fn picture(format: ImageFormat, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_fn(75, 50, |x, y| Rgb(pixel(x, y))).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind);
    crc.update(content);
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[..], kind, content, &crc.finalize().to_be_bytes()].concat()
}

/// A PNG header of these sides, without a picture.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &[])].concat()
}

#[test]
fn pictures() {
    let noise = |x: u32, y: u32| [(x * 7 + y * 13) as u8, (x * y) as u8, (y * 5) as u8];
    for (name, format) in [
        ("a.png", ImageFormat::Png),
        ("a.jpg", ImageFormat::Jpeg),
        ("a.gif", ImageFormat::Gif),
        ("a.webp", ImageFormat::WebP),
    ] {
        let whole = picture(format, noise);
        assert_eq!(verdict(name, &whole).unwrap(), format.to_mime_type());
        let mut trailing = whole.clone();
        trailing.extend_from_slice(b"more");
        assert!(verdict(name, &trailing).is_ok(), "{name}: bytes after the end");
        for length in [whole.len() / 2, whole.len() / 4, whole.len() - 3, 40, 20, 12] {
            let error = verdict(name, &whole[..length]).unwrap_err();
            assert!(error.contains("does not decode") || error.contains("no picture"), "{name} {length}: {error}");
        }
        for shade in [0, 255] {
            let error = verdict(name, &picture(format, |_, _| [shade; 3])).unwrap_err();
            assert!(error.contains("one flat colour"), "{name}: {error}");
        }
    }
}

#[test]
fn a_jpeg_whose_scan_was_cut_is_broken_whatever_its_end_says() {
    let mut whole = Vec::new();
    let noise = RgbImage::from_fn(75, 50, |x, y| Rgb([(x * 7 + y * 13) as u8, (x * y) as u8, (y * 5) as u8]));
    noise.write_with_encoder(JpegEncoder::new_with_quality(&mut whole, 95)).unwrap();
    let cut = [&whole[..whole.len() / 2], b"\xff\xd9"].concat();
    assert!(verdict("a.jpg", &cut).unwrap_err().contains("ends early"));
    let header = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\0\x11\0";
    assert!(verdict("a.jpg", header).unwrap_err().contains("does not decode"));
}

#[test]
fn an_animation_is_flat_only_over_all_its_frames() {
    let animation = |shades: [u8; 3]| {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for shade in shades {
            let frame = RgbaImage::from_pixel(40, 30, image::Rgba([shade, shade, shade, 255]));
            encoder.encode_frame(Frame::new(frame)).unwrap();
        }
        drop(encoder);
        bytes
    };
    assert!(verdict("a.gif", &animation([0, 100, 200])).is_ok());
    assert!(verdict("a.gif", &animation([9, 9, 9])).unwrap_err().contains("flat"));
    let frames = |shades: [u8; 3]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 40, 30);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_animated(3, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        for shade in shades {
            writer.write_image_data(&[shade; 1200]).unwrap();
        }
        writer.finish().unwrap();
        bytes
    };
    assert_eq!(verdict("a.png", &frames([0, 100, 200])).unwrap(), "image/png");
    assert!(verdict("a.png", &frames([7, 7, 7])).unwrap_err().contains("flat"));
    let whole = frames([0, 100, 200]);
    assert!(verdict("a.png", &whole[..whole.len() - 40]).is_err(), "cut in its last frame");
}

#[test]
fn the_limit_is_the_area_and_not_a_side() {
    let tall = RgbImage::from_fn(10, 20_000, |_, y| Rgb([(y % 256) as u8, 0, 0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    tall.write_to(&mut bytes, ImageFormat::Png).unwrap();
    assert!(verdict("a.png", bytes.get_ref()).is_ok());
    assert!(verdict("a.png", &png_of(16_384, 16_383)).unwrap_err().contains("more than 268402689"));
    assert!(!verdict("a.png", &png_of(16_383, 16_383)).unwrap_err().contains("more than"));
    let jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08\x40\0\x3f\xff\x01\0\x11\0";
    assert!(verdict("a.jpg", jpeg).unwrap_err().contains("16383 by 16384"));
}

fn film(brand: &[u8; 4]) -> Vec<u8> {
    let mut bytes = [b"\0\0\0\x14ftyp", &brand[..], b"\0\0\0\0isom"].concat();
    bytes.extend_from_slice(b"\0\0\0\x10mdat12345678\0\0\0\x10moov\0\0\0\x08mvhd");
    bytes
}

#[test]
fn films() {
    for brand in [b"isom", b"mp42", b"iso9", b"isoa", b"av01", b"hvc1", b"3gp5", b"M4V ", b"dash", b"XAVC"] {
        let whole = film(brand);
        assert_eq!(verdict("a.mp4", &whole).unwrap(), "video/mp4");
        for length in [16, 20, 30, 36, 40, whole.len() - 1] {
            assert!(verdict("a.mp4", &whole[..length]).unwrap_err().contains("does not decode"), "{length}");
        }
    }
    assert_eq!(verdict("a.mov", &film(b"qt  ")).unwrap(), "video/quicktime");
    for brand in [b"avif", b"heic", b"mif1", b"M4A "] {
        assert!(verdict("a.mp4", &film(brand)).unwrap_err().contains("does not take"));
    }
    let webm = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\x88\x1f\x43\xb6\x75\x83\xe7\x81\0";
    assert_eq!(verdict("a.webm", webm).unwrap(), "video/webm");
    for length in [12, 17, 20, webm.len() - 1] {
        assert!(verdict("a.webm", &webm[..length]).unwrap_err().contains("does not decode"), "{length}");
    }
    let open = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\xff\xe7\x81\0";
    assert_eq!(verdict("a.webm", open).unwrap(), "video/webm");
}

#[test]
fn documents_archives_and_texts() {
    let pdf = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\nxref\n0 1\ntrailer<<>>\nstartxref\n30\n%%EOF\n";
    assert_eq!(verdict("a.pdf", pdf).unwrap(), "application/pdf");
    assert!(verdict("a.pdf", &pdf[..40]).unwrap_err().contains("ends early"));
    let local = [b"PK\x03\x04".to_vec(), vec![0; 26]].concat();
    let central = [b"PK\x01\x02".to_vec(), vec![0; 42]].concat();
    let end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\x1e\0\0\0\0\0".to_vec();
    let zip = [local, central, end].concat();
    assert_eq!(verdict("a.zip", &zip).unwrap(), "application/zip");
    assert!(verdict("a.zip", &zip[..60]).unwrap_err().contains("does not decode"));
    assert_eq!(verdict("a.json", b"{\"a\": [1, 2]}").unwrap(), "application/json");
    assert!(verdict("a.json", b"{\"a\": [1, 2").unwrap_err().contains("does not decode"));
    assert_eq!(verdict("a.txt", "Grüße".as_bytes()).unwrap(), "text/plain");
    assert!(verdict("a.txt", &"Grüß".as_bytes()[..5]).is_err(), "cut within a character");
}

/// A grey PNG, `shade` of each of its pixels.
fn png(width: u32, height: u32, shade: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..(width * height) as usize).map(shade).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

fn gradient() -> Vec<u8> {
    png(40, 40, |at| (at % 251) as u8)
}

fn judged(name: &str, content: &[u8]) -> Result<Deliverable, MediaError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    judge(folder.path(), &path)
}

#[test]
fn the_bytes_tell_the_type_and_the_name_does_not() {
    let picture = gradient();
    let made = judged("result.mp4", &picture).unwrap();
    assert_eq!((made.content_type.as_str(), made.bytes), ("image/png", picture.len() as u64));
    assert_eq!(made.sha256, hex(&Sha256::digest(&picture)));
    assert_eq!(judged("a.md", "# Grüße\n".as_bytes()).unwrap().content_type, "text/markdown");
}

#[test]
fn an_error_is_never_taken_for_a_result() {
    for (name, content, word) in [
        ("a.png", &b""[..], "is empty"),
        ("a.png", b"<!DOCTYPE html><title>502</title>", "web page"),
        ("a.png", b"just words", "end it in .txt"),
        ("a.txt", b"Error: quota exceeded", "error message"),
        ("a.out", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "does not take"),
        ("a.png", &gradient()[..12], "does not decode"),
        ("a.png", &gradient()[..gradient().len() / 2], "does not decode"),
        ("a.png", &png(40, 40, |_| 255), "one flat colour"),
        ("a.png", &png(40, 40, |_| 0), "one flat colour"),
        ("a.png", b"\xff\xfe\x00\x01", "no picture and no film"),
        ("a.bin", b"\xff\xfe\x00\x01", "does not take"),
    ] {
        let why = judged(name, content).unwrap_err();
        assert!(why.to_string().contains(word), "{content:?}: {why}");
    }
    assert!(judged("a.png", &png(40, 40, |at| u8::from(at == 1599))).is_ok(), "one other pixel is a picture");
    assert!(judged("a.png", &png(1, 1, |_| 0)).is_ok(), "a single pixel is no blank canvas");
}

#[test]
fn links_and_places_outside_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (work, outside) = (folder.path().join("work"), folder.path().join("outside.png"));
    fs::create_dir(&work).unwrap();
    fs::write(&outside, gradient()).unwrap();
    std::os::unix::fs::symlink(&outside, work.join("link.png")).unwrap();
    assert!(judge(&work, &work.join("link.png")).unwrap_err().to_string().contains("cannot be read"));
    assert!(judge(&work, &outside).unwrap_err().to_string().contains("outside"));
    assert!(judge(&work, &work.join("../outside.png")).unwrap_err().to_string().contains("outside"));
}

#[test]
fn a_large_file_is_refused_by_its_size_and_a_changed_one_by_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    fs::write(&path, gradient()).unwrap();
    let made = judge(folder.path(), &path).unwrap();
    assert_eq!(open_unchanged(folder.path(), &made).unwrap().1, made.bytes);
    fs::write(&path, [gradient().as_slice(), b"x"].concat()).unwrap();
    assert!(open_unchanged(folder.path(), &made).unwrap_err().to_string().contains("changed"));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_UPLOAD_BYTES + 1).unwrap();
    assert!(judge(folder.path(), &path).unwrap_err().to_string().contains("the marketplace takes"));
    fs::remove_file(&path).unwrap();
    assert!(open_unchanged(folder.path(), &made).unwrap_err().to_string().contains("cannot be read: No such file"));
}
