DROP INDEX idx_attempts_alive;
-- Room in each page for the versions that news makes: they stay there and no index learns of them (HOT).
ALTER TABLE segment_attempts SET (fillfactor = 40);
ALTER TABLE parcours_segments SET (fillfactor = 70);
