//! Places: integer vectors for exact distances, and grid cells to find what is near.
//!
//! A place is a vector from the centre of the Earth, [`LENGTH`] long. Points within a distance along the ground are
//! also within a certain straight distance, and comparing straight distances needs only squares, which SQL can compute.
//! The sums stay below 2^53, so they are exact in D1's numbers too. The resolution is 16 cm.

use souk_core::search::Near;

const LENGTH: f64 = 4e7;
const EARTH_METRES: f64 = 6_371_000.8;
/// The side lengths of the grids' cells, in degrees.
const SIDES: [f64; 6] = [0.02, 0.08, 0.32, 1.28, 5.12, 20.48];
/// How many cells may cover a circle.
const MAX_CELLS: f64 = 40.0;

/// The vector of a place, given in degrees north and east.
pub(super) fn vector((latitude, longitude): (f64, f64)) -> [i64; 3] {
    let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
    let whole = |part: f64| (part * LENGTH).round() as i64;
    [
        whole(latitude.cos() * longitude.cos()),
        whole(latitude.cos() * longitude.sin()),
        whole(latitude.sin()),
    ]
}

/// The square of the straight distance between two points that are `metres` apart along the ground.
pub(super) fn square(metres: f64) -> i64 {
    let angle = (metres / EARTH_METRES).clamp(0.0, std::f64::consts::PI);
    let straight = 2.0 * (angle / 2.0).sin() * LENGTH;
    (straight * straight).round() as i64
}

/// The tokens of the cells that contain a place, one per grid.
pub(super) fn cells((latitude, longitude): (f64, f64)) -> impl Iterator<Item = String> {
    SIDES.iter().enumerate().map(move |(grid, side)| {
        let cell = |degrees: f64| (degrees / side).floor() as i64;
        token(grid, cell(latitude + 90.0), cell(around(longitude)))
    })
}

/// The tokens of the cells that cover a circle, from the finest grid that needs at most [`MAX_CELLS`]; `None` if no
/// grid does.
pub(super) fn covering(near: &Near) -> Option<Vec<String>> {
    let angle = near.radius / EARTH_METRES;
    let (south, north) = (
        near.latitude - angle.to_degrees() - 1e-6,
        near.latitude + angle.to_degrees() + 1e-6,
    );
    if !(south > -90.0 && north < 90.0) {
        return None;
    }
    let half = (angle.sin() / near.latitude.to_radians().cos()).asin().to_degrees() + 1e-6;
    let middle = around(near.longitude);
    let (west, east) = (middle - half, middle + half);
    // A circle that crosses the edge of the grid, where longitude wraps around, has two spans.
    let spans = match (west < 0.0, east >= 360.0) {
        _ if half.is_nan() || half >= 180.0 => return None,
        (true, _) => vec![(west + 360.0, 360.0 - 1e-9), (0.0, east)],
        (_, true) => vec![(west, 360.0 - 1e-9), (0.0, east - 360.0)],
        _ => vec![(west, east)],
    };
    let (grid, side) = SIDES.iter().enumerate().find(|(_, side)| {
        let count = |from: f64, to: f64| (to / **side).floor() - (from / **side).floor() + 1.0;
        let columns: f64 = spans.iter().map(|(from, to)| count(*from, *to)).sum();
        columns * count(south + 90.0, north + 90.0) <= MAX_CELLS
    })?;
    let range = |from: f64, to: f64| (from / side).floor() as i64..=(to / side).floor() as i64;
    let rows = range(south + 90.0, north + 90.0);
    let columns = spans.into_iter().flat_map(|(from, to)| range(from, to));
    Some(
        columns
            .flat_map(|column| rows.clone().map(move |row| token(grid, row, column)))
            .collect(),
    )
}

/// A longitude counted from 0 to 360 degrees.
fn around(longitude: f64) -> f64 {
    (longitude + 180.0).rem_euclid(360.0)
}

fn token(grid: usize, row: i64, column: i64) -> String {
    format!("p{grid}r{row}c{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
        let (a, b) = (vector(a), vector(b));
        let square: i64 = a.iter().zip(b).map(|(a, b)| (a - b).pow(2)).sum();
        2.0 * ((square as f64).sqrt() / 2.0 / LENGTH).asin() * EARTH_METRES
    }

    #[test]
    fn distances_are_those_along_the_ground() {
        for (a, b, metres) in [
            ((52.52, 13.405), (48.8566, 2.3522), 877_463.0),
            ((0.0, 179.9), (0.0, -179.9), 22_239.0),
            ((90.0, 0.0), (-90.0, 0.0), 20_015_089.0),
            ((1.0, 1.0), (1.0, 1.0), 0.0),
        ] {
            assert!(
                (distance(a, b) - metres).abs() < 1.0 + metres / 1e4,
                "{a:?} {b:?}: {}",
                distance(a, b)
            );
            let root = (square(metres) as f64).sqrt();
            assert!(root <= 2.0 * LENGTH + 1.0);
        }
    }

    #[test]
    fn invalid_places_do_not_panic() {
        for wrong in [f64::NAN, f64::INFINITY, -1e300] {
            let near = Near {
                latitude: wrong,
                longitude: wrong,
                radius: wrong,
            };
            covering(&near);
            assert_eq!(cells((wrong, wrong)).count(), SIDES.len());
            assert!(square(wrong) >= 0 && vector((wrong, wrong))[0].abs() <= LENGTH as i64);
        }
    }

    #[test]
    fn few_cells_cover_a_circle() {
        for latitude in [-89.9, -66.0, -12.3, 0.0, 0.01, 48.85, 71.0, 89.0] {
            for longitude in [-180.0, -179.99, -0.001, 13.4, 179.99, 180.0] {
                for radius in [0.0, 50.0, 3_000.0, 10_000.0, 120_000.0, 500_000.0, 5_000_000.0] {
                    let near = Near {
                        latitude,
                        longitude,
                        radius,
                    };
                    let Some(covering) = covering(&near) else { continue };
                    assert!(covering.len() <= 40, "{near:?}: {}", covering.len());
                    for step in 0..32 {
                        // A point just inside the circle's edge.
                        let bearing = f64::from(step) * std::f64::consts::PI / 16.0;
                        let place = at(&near, bearing, 0.999_9);
                        assert!(cells(place).any(|cell| covering.contains(&cell)), "{near:?} {place:?}");
                    }
                }
            }
        }
    }

    /// The point in the direction `bearing` from the centre, at `part` of the radius.
    fn at(near: &Near, bearing: f64, part: f64) -> (f64, f64) {
        let angle = near.radius * part / EARTH_METRES;
        let (latitude, longitude) = (near.latitude.to_radians(), near.longitude.to_radians());
        let north = (latitude.sin() * angle.cos() + latitude.cos() * angle.sin() * bearing.cos()).asin();
        let east = longitude
            + (bearing.sin() * angle.sin() * latitude.cos()).atan2(angle.cos() - latitude.sin() * north.sin());
        (north.to_degrees(), east.to_degrees())
    }
}
