CREATE ROLE shop LOGIN PASSWORD 'shop';
CREATE DATABASE shop OWNER shop;
\connect shop
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placed_at timestamptz NOT NULL DEFAULT now(),
    amount integer NOT NULL,
    tax integer NOT NULL,
    note text NOT NULL
);
ALTER TABLE orders OWNER TO shop;
