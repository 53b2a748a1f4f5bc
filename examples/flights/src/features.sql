-- One row of features per scheduled flight: its schedule, the weather at its origin in the scheduled hour of departure, and its plane.
--
-- The pipeline's stage `join` and a client that asks for predictions both run this one statement, over relations called `flights`,
-- `weather` and `planes`, so the model is asked in service exactly what it learned from. It reads no column of `flights` that is
-- known only after the scheduled departure. The casts let the relations hold typed values or the text of a CSV file.
--
-- The first two columns name the flight; all others are the model's inputs, in this order: VARCHAR is a category, DOUBLE a number.
-- The month is no input: a model that knows January and February only would have to guess what June means.
WITH schedule AS (
    SELECT
        make_date(year::INT, month::INT, day::INT)                          AS day,
        time_hour::TIMESTAMPTZ                                              AS scheduled_hour,
        sched_dep_time::INT // 100 * 60 + sched_dep_time::INT % 100         AS departure_minute,
        sched_arr_time::INT // 100 * 60 + sched_arr_time::INT % 100         AS arrival_minute,
        carrier, flight, origin, dest, distance, tailnum
    FROM flights
)

SELECT
    s.day || '-' || s.carrier || s.flight || '-' || s.origin                AS flight_id,
    s.day,
    -- What is flown.
    s.carrier,
    s.origin,
    s.dest,
    s.distance::DOUBLE                                                      AS distance,
    -- When: Monday is 1; minutes of the day in local time; and what the airline allows from gate to gate (with the change of zone).
    isodow(s.day)::DOUBLE                                                   AS weekday,
    s.departure_minute::DOUBLE                                              AS departure_minute,
    s.arrival_minute::DOUBLE                                                AS arrival_minute,
    ((s.arrival_minute - s.departure_minute + 1440) % 1440)::DOUBLE         AS block_minutes,
    -- Weather: null where the feed has a gap. One wind speed of 2013 is above 1,000 mph: an error, so it counts as a gap.
    w.temp::DOUBLE                                                          AS temp,
    w.dewp::DOUBLE                                                          AS dewp,
    w.humid::DOUBLE                                                         AS humid,
    w.wind_dir::DOUBLE                                                      AS wind_dir,
    CASE WHEN w.wind_speed::DOUBLE < 250 THEN w.wind_speed::DOUBLE END      AS wind_speed,
    w.precip::DOUBLE                                                        AS precip,
    w.pressure::DOUBLE                                                      AS pressure,
    w.visib::DOUBLE                                                         AS visib,
    -- Plane: the registry does not know every tail number.
    year(s.day) - p.year::DOUBLE                                            AS plane_age,
    p.seats::DOUBLE                                                         AS seats,
    coalesce(p.engine, 'unknown')                                           AS engine
FROM schedule AS s
LEFT JOIN weather AS w ON w.origin = s.origin AND w.time_hour::TIMESTAMPTZ = s.scheduled_hour
LEFT JOIN planes AS p ON p.tailnum = s.tailnum
ORDER BY s.day, s.departure_minute, flight_id
