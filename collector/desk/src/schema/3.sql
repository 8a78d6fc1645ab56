-- Fingerprint of the certificate that the host showed when it asked for its newest: good until the newest is shown
-- for a renewal, for the answer may have been lost.
ALTER TABLE hosts ADD COLUMN former TEXT;
-- Older programs wrote the serial number as the fingerprint. Empty: not known. "none" is a host that used a token up and
-- was then given no certificate: none is its own.
UPDATE hosts SET fingerprint = '' WHERE fingerprint = serial AND serial <> 'none';
