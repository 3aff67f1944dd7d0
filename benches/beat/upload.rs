//! The cost of a large result: the time of its upload, and memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use atelier_heartbeat::internals::sandbox::{Options, ServerVersion};

use crate::cost::{Cost, isolated, measured};
use crate::machine;
use crate::stand::Stand;
use crate::table::{Side, WIDTH, in_turn, mebibytes, median, millis, not_measured, print_title, ratio};

const SAMPLES: usize = 5;
const SMALL: usize = 45_000;
const LARGE: usize = 45_000_000;

/// The first bytes of an MP4.
const HEADER: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x10moov\0\0\0\x08mvhd\0\0\0\0mdat";

pub fn print() {
    let place = machine::memory();
    print_title(
        "upload",
        &format!(
            "A beat that makes, uploads and delivers one video of 45 MB, against one of 45 KB, in turn, on loopback, {}:\n\
             medians of {SAMPLES}. The generator is `cp`. The time holds the sandbox's own, which hashes and keeps every byte. Memory is\n\
             the most that the beat, its supervisor or its generator had, whichever is more. curl sends the same file, and no more.",
            machine::name_of(&place)
        ),
    );
    let folder = tempfile::tempdir_in(&place).unwrap();
    let (small, large) = (folder.path().join("small.mp4"), folder.path().join("large.mp4"));
    write_video(&small, SMALL);
    write_video(&large, LARGE);
    let beat = |server_version: ServerVersion, video| move || delivered(server_version, video);
    let curl = "curl -F, 45 MB";
    let sides: Vec<Side<Cost>> = vec![
        Side::new("a beat, 45 KB", beat(ServerVersion::Document, &small)),
        Side::new("a beat, 45 MB", beat(ServerVersion::Document, &large)),
        Side::new("a beat, 45 MB, by an upload token (live server)", beat(ServerVersion::Live, &large)),
        match machine::tool("curl") {
            Some(program) => Side::new(curl, {
                let large = &large;
                move || sent(&program, large)
            }),
            None => Side::lacking(curl, "curl"),
        },
    ];
    let costs = in_turn(SAMPLES, &sides);
    let middle = |costs: &[Cost]| {
        let (walls, peaks): (Vec<_>, Vec<_>) = costs.iter().map(|cost| (cost.wall, cost.peak)).unzip();
        (median(&walls), median(&peaks))
    };
    let (first, least) = middle(&costs[0]);
    println!("{:<WIDTH$} {:>9} {:>8} {:>9} {:>8}", "", "ms", "x 45 KB", "peak MiB", "x 45 KB");
    for (side, costs) in sides.iter().zip(&costs) {
        if let Err(tool) = side.sample {
            not_measured(&side.name, tool);
            continue;
        }
        let (wall, peak) = middle(costs);
        let times = peak as f64 / least as f64;
        println!(
            "{:<WIDTH$} {:>9} {:>8} {:>9} {times:>8.2}",
            side.name,
            millis(wall),
            ratio(wall, Some(first)),
            mebibytes(peak)
        );
    }
}

/// A run that delivers this video.
fn delivered(server_version: ServerVersion, video: &Path) -> Cost {
    let stand = Stand::open(&machine::memory(), Options { server_version, ..Options::default() });
    stand.fixture.generator(&format!("exec cp '{}' \"$ATELIER_OUTPUT_DIR/made.mp4\"", video.display()), "");
    stand.change("[api]\n", &format!("[api]\nblob_url = \"{}\"\n", stand.fixture.server.blob_url()));
    stand.fixture.order("A lighthouse at dusk, from all sides");
    let cost = measured(&stand.line(&[]));
    assert_eq!(stand.delivered(), 1, "{}", stand.fixture.log());
    cost
}

/// The upload of the same file by curl.
fn sent(curl: &Path, video: &Path) -> Cost {
    let stand =
        Stand::open(&machine::memory(), Options { server_version: ServerVersion::Document, ..Options::default() });
    let mut command = isolated(curl);
    command.args(["--silent", "--show-error", "--fail", "--header"]);
    command.arg(format!("Authorization: Bearer {}", stand.fixture.key));
    command.arg("--form").arg(format!("file=@{};type=video/mp4", video.display()));
    command.arg(format!("{}/upload", stand.fixture.server.base_url()));
    let cost = measured(&command);
    assert_eq!(stand.fixture.server.market().recorder().uploads.len(), 1);
    cost
}

/// Writes a file of this size that begins like a video and does not compress.
fn write_video(path: &Path, bytes: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(HEADER).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..(bytes - HEADER.len()).div_ceil(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
    drop(file);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes as u64).unwrap();
}
