//! Prices and places at the ends of what is asked for.

use souk_core::search::{Listing, Near, SearchQuery, Sort};

use super::bench::{Bench, text};

/// Prices at the ends of bounds and ranges.
pub async fn prices(bench: &Bench) {
    let prices = [0, 999, 1_000, 4_999, 5_000, 9_007_199_254_740_990];
    let listings = prices.map(|price| Listing {
        price,
        ..bench.listing(&price.to_string(), 1, "lamp")
    });
    bench.put(&listings).await;
    let found = async |min_price, max_price| {
        let query = SearchQuery {
            min_price,
            max_price,
            sort: Sort::Cheapest,
            facets: vec!["price".into()],
            ..text("lamp")
        };
        let counts = bench.page(&query).await.facets[0].values.len();
        (bench.find(&query).await, counts)
    };
    assert_eq!(
        found(Some(999), Some(1_000)).await,
        (vec!["999".into(), "1000".into()], 4)
    );
    assert_eq!(found(Some(5_001), None).await.0, ["9007199254740990"]);
    assert_eq!(found(Some(i64::MIN), Some(i64::MAX)).await.0.len(), 6);
    assert_eq!(found(Some(2), Some(1)).await, (vec![], 4));
    let values = bench
        .page(&SearchQuery {
            facets: vec!["price".into()],
            ..text("lamp")
        })
        .await
        .facets
        .remove(0)
        .values;
    let values: Vec<_> = values.iter().map(|(facet, n)| (&*facet.value, *n)).collect();
    assert_eq!(
        values,
        [("0-999", 2), ("1000-4999", 2), ("1000000000-", 1), ("5000-9999", 1)]
    );
}

/// A listing with several prices: one of them must be within both bounds, and the lowest decides the order.
pub async fn several_prices(bench: &Bench) {
    let listing = |name: &str, price, others: &[i64]| Listing {
        price,
        other_prices: others.to_vec(),
        ..bench.listing(name, 1, "shirt")
    };
    bench
        .put(&[
            listing("ends", 1_000, &[5_000]),
            listing("middle", 1_100, &[4_200, 5_000]),
            listing("one", 4_400, &[]),
        ])
        .await;
    for (min_price, max_price, expected) in [
        (Some(4_000), Some(4_500), &["middle", "one"][..]),
        (Some(4_300), Some(4_350), &[]),
        (Some(5_000), None, &["ends", "middle"]),
        (None, Some(1_050), &["ends"]),
        (Some(1_000), Some(5_000), &["ends", "middle", "one"]),
        (None, None, &["ends", "middle", "one"]),
    ] {
        for sort in [Sort::Cheapest, Sort::Dearest] {
            let query = SearchQuery {
                min_price,
                max_price,
                sort,
                facets: vec!["price".into()],
                ..text("shirt")
            };
            let mut found = bench.find(&query).await;
            if sort == Sort::Dearest {
                found.reverse();
            }
            assert_eq!(found, expected, "{query:?}");
            let counts = &bench.page(&query).await.facets[0].values;
            let counts: Vec<_> = counts.iter().map(|(facet, n)| (&*facet.value, *n)).collect();
            assert_eq!(counts, [("1000-4999", 3), ("5000-9999", 2)]);
        }
    }
}

/// Circles at the poles, where east meets west, of no size and of all of Earth.
pub async fn places(bench: &Bench) {
    let places = [
        ("berlin", (52.52, 13.405)),
        ("potsdam", (52.4, 13.0667)),
        ("fiji", (-16.8, 179.95)),
        ("samoa", (-16.8, -179.95)),
        ("pole", (90.0, 0.0)),
        ("alert", (82.5, -62.3)),
        ("south", (-90.0, 7.0)),
    ];
    let mut listings: Vec<_> = places
        .iter()
        .map(|(name, place)| Listing {
            place: Some(*place),
            ..bench.listing(name, 1, "kiosk")
        })
        .collect();
    listings.push(bench.listing("nowhere", 1, "kiosk"));
    bench.put(&listings).await;
    for (latitude, longitude, radius, expected) in [
        (52.52, 13.405, 0.0, &["berlin"][..]),
        (52.52, 13.405, 26_000.0, &["berlin"]),
        (52.52, 13.405, 27_000.0, &["berlin", "potsdam"]),
        (-16.8, 180.0, 6_000.0, &["fiji", "samoa"]),
        (-16.8, -179.97, 3_000.0, &["samoa"]),
        (-16.8, 540.1, 12_000.0, &["samoa"]),
        (89.0, 100.0, 112_000.0, &["pole"]),
        (85.0, -62.3, 600_000.0, &["alert", "pole"]),
        (
            0.0,
            0.0,
            30_000_000.0,
            &["alert", "berlin", "fiji", "pole", "potsdam", "samoa", "south"],
        ),
    ] {
        let near = Some(Near {
            latitude,
            longitude,
            radius,
        });
        for sort in [Sort::Relevance, Sort::Nearest] {
            let mut found = bench
                .find(&SearchQuery {
                    near,
                    sort,
                    ..text("kiosk")
                })
                .await;
            found.sort();
            assert_eq!(found, expected, "{near:?}");
        }
    }
    let near = Some(Near {
        latitude: 60.0,
        longitude: 13.0,
        radius: 6_000_000.0,
    });
    let found = bench
        .find(&SearchQuery {
            near,
            sort: Sort::Nearest,
            ..text("")
        })
        .await;
    assert_eq!(found, ["berlin", "potsdam", "alert", "pole"]);
}
