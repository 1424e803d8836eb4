-- The samples of one day as components/label makes them, in DuckDB. data_peers.py fills in the names that stand after dollar signs.
-- A click is credited to the impression it names, else to the latest of its user and item; a purchase likewise to a click.
COPY (
    WITH
    pairs AS (SELECT DISTINCT user_id, item_id FROM clicks WHERE impression_id IS NULL),
    targets AS (  -- of impressions of a pair at one time, the larger id
        SELECT user_id, item_id, exposed_at, max(impression_id) AS impression_id
        FROM impressions SEMI JOIN pairs USING (user_id, item_id)
        GROUP BY ALL
    ),
    by_name AS (
        SELECT clicks.impression_id, clicks.user_id, clicks.item_id, clicked_at, shown.impression_id AS target_id, shown.user_id AS shown_user,
               shown.item_id AS shown_item, exposed_at
        FROM clicks LEFT JOIN impressions AS shown USING (impression_id)
        WHERE clicks.impression_id IS NOT NULL
    ),
    by_pair AS (
        SELECT clicks.impression_id, clicks.user_id, clicks.item_id, clicked_at, targets.impression_id AS target_id, targets.user_id AS shown_user,
               targets.item_id AS shown_item, exposed_at
        FROM (SELECT * FROM clicks WHERE impression_id IS NULL) AS clicks
        ASOF LEFT JOIN targets
        ON clicks.user_id = targets.user_id AND clicks.item_id = targets.item_id AND clicked_at >= exposed_at
    ),
    credited AS (
        SELECT *, coalesce(epoch_us(clicked_at) - epoch_us(exposed_at) BETWEEN 0 AND $click_us, false) AS credited
        FROM (FROM by_name UNION ALL FROM by_pair)
    ),
    clicked AS (
        SELECT target_id AS impression_id, any_value(shown_user) AS user_id, any_value(shown_item) AS item_id, any_value(exposed_at) AS exposed_at,
               min(clicked_at) AS clicked_at
        FROM credited WHERE credited GROUP BY target_id
    ),
    pool AS (  -- clicks that a purchase may follow: of a pair at one time the one with an impression, then the later one
        SELECT * FROM (
            FROM clicked
            UNION ALL BY NAME
            SELECT NULL AS impression_id, user_id, item_id, NULL AS exposed_at, clicked_at FROM credited WHERE NOT credited
        )
        QUALIFY row_number() OVER (
            PARTITION BY user_id, item_id, clicked_at ORDER BY impression_id IS NULL, exposed_at DESC, impression_id DESC
        ) = 1
    ),
    bought AS (
        SELECT pool.impression_id, min(purchased_at) AS converted_at
        FROM (SELECT * FROM purchases WHERE impression_id IS NULL) AS purchases
        ASOF JOIN pool
        ON purchases.user_id = pool.user_id AND purchases.item_id = pool.item_id AND purchased_at >= clicked_at
        WHERE pool.impression_id IS NOT NULL AND epoch_us(purchased_at) - epoch_us(clicked_at) <= $conversion_us
        GROUP BY pool.impression_id
    ),
    outcomes AS (SELECT impression_id, clicked_at, converted_at FROM clicked LEFT JOIN bought USING (impression_id))
    SELECT impression_id, user_id, item_id, exposed_at, position,
           clicked_at IS NOT NULL AS clicked, clicked_at,
           false AS acted, NULL::TIMESTAMPTZ AS acted_at,
           converted_at IS NOT NULL AS converted, converted_at,
           TIMESTAMPTZ '$through' AS labelled_through,
           make_timestamptz(epoch_us(exposed_at) + $click_us + $conversion_us) AS matures_at,
           cat_id, shop_id, brand_id, scene, price
    FROM impressions LEFT JOIN outcomes USING (impression_id)
    WHERE exposed_at >= TIMESTAMPTZ '$start' AND exposed_at < TIMESTAMPTZ '$through'
    $order
) TO '$target' (FORMAT parquet, COMPRESSION $compression)
