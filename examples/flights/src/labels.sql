-- One row per flight that arrived: whether it was late, by more than 15 minutes. Cancelled and diverted flights have no label.
-- Known the day after; joined to `features.sql` by `flight_id`.
SELECT
    make_date(year::INT, month::INT, day::INT) || '-' || carrier || flight || '-' || origin AS flight_id,
    (arr_delay::DOUBLE > 15)::INT                                           AS late
FROM flights
WHERE arr_delay IS NOT NULL
