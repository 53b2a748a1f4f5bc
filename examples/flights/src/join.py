"""Stage `join`: flights, weather and planes as they arrived -> features.parquet, a row per flight that has a label.

What a feature is stands in `features.sql`, what a label is in `labels.sql`; here they are read, joined and ordered.
"""

from pathlib import Path

import duckdb

SOURCES = {"flights": "data/flights/*.csv", "weather": "data/weather/*.csv", "planes": "data/planes.csv"}
SQL = Path(__file__).parent


def main() -> None:
    connection = duckdb.connect()
    for name, files in SOURCES.items():
        # As text: a day on which a column is empty must not change the column's type.
        connection.read_csv(files, all_varchar=True, na_values=["", "NA"]).create(name)
    features, labels = (connection.sql((SQL / name).read_text()) for name in ("features.sql", "labels.sql"))
    joined = features.join(labels, "flight_id").order("day, departure_minute, flight_id")
    joined.write_parquet("features.parquet")
    summary = connection.read_parquet("features.parquet").aggregate("count(*), min(day), max(day)")
    count, first, last = summary.fetchall()[0]
    print(f"{count:,} labelled flights from {first} to {last}")


if __name__ == "__main__":
    main()
