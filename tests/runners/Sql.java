import java.util.Map;
import org.apache.beam.sdk.expansion.ExternalTransformRegistrar;
import org.apache.beam.sdk.extensions.sql.SqlTransform;
import org.apache.beam.sdk.transforms.ExternalTransformBuilder;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PInput;
import org.apache.beam.sdk.values.Row;

/** Beam SQL under the name that SqlTransform of Python asks for: started by java_io.py. */
public class Sql implements ExternalTransformRegistrar {
  @Override
  public Map<String, ExternalTransformBuilder<?, ?, ?>> knownBuilderInstances() {
    return Map.of("beam:external:java:sql:v1", new Builder());
  }

  /** The arguments of SqlTransform. */
  public static class Configuration {
    private String query;

    public void setQuery(String query) {
      this.query = query;
    }

    public void setDialect(String dialect) {}

    public void setDdl(String ddl) {}
  }

  private static class Builder
      implements ExternalTransformBuilder<Configuration, PInput, PCollection<Row>> {
    @Override
    public PTransform<PInput, PCollection<Row>> buildExternal(Configuration configuration) {
      // Tables elsewhere (BigQuery and others) would need their jars.
      return SqlTransform.query(configuration.query).withAutoLoading(false);
    }
  }
}
